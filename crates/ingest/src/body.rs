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

/// A body in one piece is taken as it is. Of one in many, each is copied: to keep a list of them costs a sender who
/// makes them of one byte nothing, and us a hundred times what was counted.
async fn collect(
    mut incoming: Incoming,
    max_bytes: usize,
    room: &Room,
) -> Result<(Bytes, ForBytes), Refused> {
    let (mut whole, mut held) = (Bytes::new(), ForBytes::default());
    let mut pieces = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        // Trailers are nothing to us.
        let Ok(piece) = frame.map_err(|_| Refused::BrokenBody)?.into_data() else {
            continue;
        };
        if whole.len() + pieces.len() + piece.len() > max_bytes {
            return Err(Refused::TooLarge);
        }
        room.take_bytes(&mut held, piece.len())?;
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&piece);
        }
    }
    if !pieces.is_empty() {
        whole = pieces.freeze();
    }
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
