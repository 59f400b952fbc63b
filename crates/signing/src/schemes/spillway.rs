//! The default scheme: `X-Signature: sha256=<hex>` with HMAC-SHA256 over `timestamp` + `.` + raw body.
//!
//! The event id is in `X-Event-Id` and is *not* signed, so whoever captures one request could send it again
//! under a new id within the tolerance: the replay guard finds that by the digest of what was signed,
//! unless the body carries the id itself. Hexadecimal digits may be of either case (RFC 4648 §8).

use crate::SigningKey;
use envelope::{SignatureDigest, UnixSeconds};
use hmac::Mac;

/// The sender's name for the event, 1–255 visible ASCII characters.
pub const EVENT_ID: &str = "x-event-id";
/// Unix seconds, 1–12 ASCII digits.
pub const TIMESTAMP: &str = "x-timestamp";
/// `sha256=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "x-signature";

/// No header of this scheme is longer: the event id's 255 bytes are the most.
pub(crate) const HEADER_MAX_BYTES: usize = 255;

const PREFIX: &[u8] = b"sha256=";

/// The value of `X-Signature` for a body.
pub fn sign(key: &SigningKey, timestamp: &[u8], body: &[u8]) -> String {
    let mac = key.mac(&covered(timestamp, body)).finalize().into_bytes();
    format!("sha256={}", hex::encode(mac))
}

/// Strict: `parse` alone would take a sign, and twenty digits overflow into somebody's past.
pub(crate) fn timestamp(value: &[u8]) -> Option<UnixSeconds> {
    let digits = (1..=12).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok().map(UnixSeconds)
}

/// Whether any key made this signature; constant-time in the comparison.
pub(crate) fn matches(
    keys: &[SigningKey],
    timestamp: &[u8],
    body: &[u8],
    signature: &[u8],
) -> bool {
    let mut expected = [0; 32];
    let Some(digits) = signature.strip_prefix(PREFIX) else {
        return false;
    };
    if hex::decode_to_slice(digits, &mut expected).is_err() {
        return false;
    }
    keys.iter().any(|key| {
        key.mac(&covered(timestamp, body))
            .verify_slice(&expected)
            .is_ok()
    })
}

/// Over what the MAC covers, not over the header, which has many spellings of one signature.
pub(crate) fn digest(timestamp: &[u8], body: &[u8]) -> SignatureDigest {
    SignatureDigest::of(&covered(timestamp, body))
}

fn covered<'a>(timestamp: &'a [u8], body: &'a [u8]) -> [&'a [u8]; 3] {
    [timestamp, b".", body]
}
