//! `spillway`, the default: `X-Signature: sha256=<hex>` with HMAC-SHA256 over `timestamp` + `.` + raw body.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | `X-Event-Id` | no |
//! | type | the body | yes |
//! | timestamp | `X-Timestamp`, unix seconds | yes |
//!
//! *Replay guard*: yes. Whoever captures one request could send it again under a new id within the tolerance;
//! the worker finds that by the digest of what was signed, unless the body carries the id itself. Hexadecimal
//! digits may be of either case (RFC 4648 §8), so the digest is over what the MAC covers and not over the header.
//!
//! *Timeout and re-sends*: the sender's own; we answer within 800 ms.

use crate::SigningKey;
use crate::rules::{Encoding, Form, IdFrom, Part, Rules, SecretForm, Signature, TimestampFrom};

/// The sender's name for the event, 1–255 visible ASCII characters.
pub const EVENT_ID: &str = "x-event-id";
/// Unix seconds, 1–12 ASCII digits.
pub const TIMESTAMP: &str = "x-timestamp";
/// `sha256=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "x-signature";

pub(super) static RULES: Rules = Rules {
    signature: Some(Signature {
        header: SIGNATURE,
        form: Form::One {
            prefix: "sha256=",
            encoding: Encoding::Hex,
        },
    }),
    id: IdFrom::Header(EVENT_ID),
    timestamp: Some(TimestampFrom::Header(TIMESTAMP)),
    covered: &[Part::Timestamp, Part::Literal("."), Part::Body],
    tolerance: crate::TOLERANCE,
    secret: SecretForm::Text,
};

/// The value of `X-Signature` for a body, with a timestamp written however the sender likes.
pub fn sign(key: &SigningKey, timestamp: &[u8], body: &[u8]) -> String {
    let mac = key.mac_bytes([timestamp, b".", body]);
    format!("sha256={}", Encoding::Hex.text(&mac))
}
