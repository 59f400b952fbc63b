//! Reading a body within its bounds.

use crate::refused::Refused;
use crate::room::{ForBytes, Room};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use ops::config::IngestConfig;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How much of a refused body is read to the end, and for how long. A sender that is still writing when the
/// connection is closed under it sees a reset instead of the answer.
const DISCARD_MAX_BYTES: usize = 8 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// A body as received.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    /// The answer is due from here on.
    pub(crate) last_byte_at: Instant,
    pub(crate) held: ForBytes,
}

/// How many bytes there should be room for, from the head alone. A length that lies is found out by [`read`].
pub(crate) fn expected_bytes(headers: &HeaderMap, bounds: &IngestConfig) -> Result<usize, Refused> {
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return Err(Refused::Encoding);
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    Ok(length
        .unwrap_or(bounds.body_max_bytes)
        .min(bounds.body_max_bytes))
}

/// Reads the whole body, but not more than fits and not for longer than it may take.
pub(crate) async fn read(
    incoming: Incoming,
    bounds: &IngestConfig,
    room: &Room,
) -> Result<Body, Refused> {
    if incoming.size_hint().lower() > bounds.body_max_bytes as u64 {
        discard(incoming).await;
        return Err(Refused::TooLarge);
    }
    // The library has no timeout for a body.
    let collecting = collect(incoming, bounds.body_max_bytes, room);
    let (bytes, held) = timeout(bounds.body_read_timeout, collecting)
        .await
        .map_err(|_| Refused::TooSlow)??;
    Ok(Body {
        bytes,
        last_byte_at: Instant::now(),
        held,
    })
}

/// A piece below this is copied: kept as it is, it would hold on to a buffer much larger than what was counted.
const PIECE_LEAST_BYTES: usize = 4096;

/// Pieces are put together once all are there. To grow a buffer meanwhile would take every size on the way to it, also
/// for a body that is then refused.
async fn collect(
    mut incoming: Incoming,
    max_bytes: usize,
    room: &Room,
) -> Result<(Bytes, ForBytes), Refused> {
    let (mut pieces, mut held) = (Vec::<Bytes>::new(), ForBytes::default());
    let (mut crumbs, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = incoming.frame().await {
        // Trailers are nothing to us.
        let Ok(piece) = frame.map_err(|_| Refused::BrokenBody)?.into_data() else {
            continue;
        };
        length += piece.len();
        if length > max_bytes {
            return Err(Refused::TooLarge);
        }
        room.take_bytes(&mut held, piece.len())?;
        // The first is most often all there is.
        let is_first = pieces.is_empty() && crumbs.is_empty();
        if !is_first && piece.len() < PIECE_LEAST_BYTES {
            crumbs.extend_from_slice(&piece);
            if crumbs.len() >= PIECE_LEAST_BYTES {
                pieces.push(crumbs.split().freeze());
            }
            continue;
        }
        if !crumbs.is_empty() {
            pieces.push(crumbs.split().freeze());
        }
        pieces.push(piece);
    }
    if !crumbs.is_empty() {
        pieces.push(crumbs.freeze());
    }
    let whole = match pieces.as_slice() {
        [only] => only.clone(),
        several => several.concat().into(),
    };
    Ok((whole, held))
}

async fn discard(mut incoming: Incoming) {
    let discarding = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = incoming.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD_MAX_BYTES {
                return;
            }
        }
    };
    // Either way the answer is 413; this only gives the sender a chance to read it.
    let _ = timeout(DISCARD_TIMEOUT, discarding).await;
}
