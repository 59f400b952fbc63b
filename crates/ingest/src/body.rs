//! Reading a body within its bounds.

use crate::refused::Refused;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
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
}

/// How many bytes to make room for, from the head alone. A length that lies is found out by [`read`].
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
pub(crate) async fn read(incoming: Incoming, bounds: &IngestConfig) -> Result<Body, Refused> {
    if incoming.size_hint().lower() > bounds.body_max_bytes as u64 {
        discard(incoming).await;
        return Err(Refused::TooLarge);
    }
    // The library has no timeout for a body.
    let limited = Limited::new(incoming, bounds.body_max_bytes).collect();
    match timeout(bounds.body_read_timeout, limited).await {
        Ok(Ok(collected)) => Ok(Body {
            bytes: collected.to_bytes(),
            last_byte_at: Instant::now(),
        }),
        Ok(Err(why)) if why.is::<LengthLimitError>() => Err(Refused::TooLarge),
        Ok(Err(_)) => Err(Refused::BrokenBody),
        Err(_) => Err(Refused::TooSlow),
    }
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
