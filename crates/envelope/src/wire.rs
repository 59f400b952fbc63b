//! The wire form: properties and headers any AMQP client in any language can read.
//!
//! This crate does not say AMQP; `broker` turns a [`Wire`] into properties, the embedded broker stores
//! it as JSON. Both therefore carry exactly the same.

use crate::{
    Attempt, ContentType, DeadLetterNote, Envelope, ErrorText, SignatureDigest, TraceParent,
    UnixMicros, UnixSeconds,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The names of our headers.
pub mod header {
    /// The form the other headers have; see [`super::Wire::VERSION`].
    pub const ENVELOPE: &str = "x-envelope";
    /// Who sent the event.
    pub const SOURCE: &str = "x-source";
    /// When it was received, in microseconds since 1970.
    pub const RECEIVED_AT: &str = "x-received-at";
    /// The signed timestamp, in seconds since 1970.
    pub const SIGNED_AT: &str = "x-signed-at";
    /// Hexadecimal digest of what was signed.
    pub const SIGNATURE_DIGEST: &str = "x-signature-digest";
    /// Which try this is, from 1. Ours: the broker's own counts say something else.
    pub const ATTEMPT: &str = "x-attempt";
    /// How often it was parked.
    pub const PARKED: &str = "x-parked";
    /// How often it was replayed by a person.
    pub const REPLAYS: &str = "x-replays";
    /// The class of the last fault.
    pub const ERROR_CLASS: &str = "x-error-class";
    /// The reason of the last fault, one word.
    pub const ERROR_REASON: &str = "x-error-reason";
    /// The message of the last fault, at most 255 bytes.
    pub const ERROR: &str = "x-error";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
}

/// Properties and headers, without the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// The event id.
    pub message_id: Option<String>,
    /// When it was received, in seconds since 1970 (AMQP timestamps have no fraction).
    pub timestamp: Option<u64>,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// Our headers, and of a foreign message the texts and whole numbers among its own.
    pub headers: BTreeMap<String, WireValue>,
}

/// A header value: all that our headers need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WireValue {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

/// Why a message is not one of ours. It is kept as a dead letter with reason `foreign`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// A property or header is missing or has another type.
    #[error("{0} is missing or has another type")]
    Missing(&'static str),
    /// A value is there and breaks its rule.
    #[error("{0} is not valid")]
    Invalid(&'static str),
}

impl Wire {
    /// The form written by this version. A reader refuses what it does not know.
    pub const VERSION: i64 = 1;
}

/// Properties and headers as a broker's client holds them: an envelope is read from them as they lie, since
/// a worker reads thousands a second.
pub trait Fields {
    /// The event id.
    fn message_id(&self) -> Option<&str>;

    /// The media type of the body.
    fn content_type(&self) -> Option<&str>;

    /// A header that is a whole number.
    fn int(&self, name: &str) -> Option<i64>;

    /// A header that is a text.
    fn text(&self, name: &str) -> Option<&str>;
}

impl Fields for Wire {
    fn message_id(&self) -> Option<&str> {
        self.message_id.as_deref()
    }

    fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    fn int(&self, name: &str) -> Option<i64> {
        match self.headers.get(name)? {
            WireValue::Int(number) => Some(*number),
            WireValue::Text(_) => None,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.headers.get(name)? {
            WireValue::Text(text) => Some(text),
            WireValue::Int(_) => None,
        }
    }
}

impl Envelope {
    /// Hands every header to `write`, in no order that means anything.
    pub fn write_headers(&self, mut write: impl FnMut(&'static str, WireValue)) {
        let mut int = |name, value| write(name, WireValue::Int(value));
        int(header::ENVELOPE, Wire::VERSION);
        int(header::RECEIVED_AT, self.received_at.0);
        int(header::ATTEMPT, i64::from(self.attempt.number()));
        // Not there means zero: the broker reads every header of every event, to route it.
        if self.parked > 0 {
            int(header::PARKED, i64::from(self.parked));
        }
        if self.replays > 0 {
            int(header::REPLAYS, i64::from(self.replays));
        }
        if let Some(signed_at) = self.signed_at {
            int(header::SIGNED_AT, signed_at.0);
        }
        let mut text = |name, value: &str| write(name, WireValue::Text(value.to_owned()));
        text(header::SOURCE, self.source.as_str());
        if let Some(digest) = self.signature_digest {
            text(header::SIGNATURE_DIGEST, &digest.to_string());
        }
        if let Some(note) = &self.note {
            text(header::ERROR_CLASS, &note.class);
            text(header::ERROR_REASON, &note.reason);
            text(header::ERROR, note.error.as_str());
        }
        if let Some(traceparent) = &self.traceparent {
            text(header::TRACEPARENT, traceparent.as_str());
        }
    }

    /// When it was received as an AMQP timestamp, in seconds since 1970.
    pub fn timestamp(&self) -> Option<u64> {
        u64::try_from(self.received_at.seconds().0).ok()
    }

    /// The properties and headers to keep along with the body.
    pub fn to_wire(&self) -> Wire {
        let mut headers = BTreeMap::new();
        self.write_headers(|name, value| {
            headers.insert(name.to_owned(), value);
        });
        let content_type = self.content_type.as_ref();
        Wire {
            message_id: Some(self.event_id.to_string()),
            timestamp: self.timestamp(),
            content_type: content_type.map(|value| value.as_str().to_owned()),
            headers,
        }
    }

    /// Reads an envelope back; [`Foreign`] for a message nobody of ours has written.
    pub fn read(fields: &impl Fields, body: Bytes) -> Result<Self, Foreign> {
        if int(fields, header::ENVELOPE)? != Wire::VERSION {
            return Err(Foreign::Invalid(header::ENVELOPE));
        }
        let message_id = fields.message_id();
        let message_id = message_id.ok_or(Foreign::Missing("message_id"))?;
        let source = fields.text(header::SOURCE);
        let source = source.ok_or(Foreign::Missing(header::SOURCE))?;
        let attempt = u16::try_from(int(fields, header::ATTEMPT)?)
            .ok()
            .and_then(Attempt::new);
        let invalid = |name| move |_| Foreign::Invalid(name);
        Ok(Self {
            event_id: message_id.parse().map_err(invalid("message_id"))?,
            source: source.parse().map_err(invalid(header::SOURCE))?,
            body,
            content_type: fields
                .content_type()
                .and_then(|text| ContentType::from_bytes(text.as_bytes())),
            received_at: UnixMicros(int(fields, header::RECEIVED_AT)?),
            signed_at: fields.int(header::SIGNED_AT).map(UnixSeconds),
            signature_digest: digest(fields)?,
            attempt: attempt.ok_or(Foreign::Invalid(header::ATTEMPT))?,
            parked: count(fields, header::PARKED)?,
            replays: count(fields, header::REPLAYS)?,
            note: note(fields),
            traceparent: fields
                .text(header::TRACEPARENT)
                .and_then(|text| TraceParent::from_bytes(text.as_bytes())),
        })
    }
}

fn int(fields: &impl Fields, name: &'static str) -> Result<i64, Foreign> {
    fields.int(name).ok_or(Foreign::Missing(name))
}

fn count(fields: &impl Fields, name: &'static str) -> Result<u32, Foreign> {
    u32::try_from(fields.int(name).unwrap_or(0)).map_err(|_| Foreign::Invalid(name))
}

fn digest(fields: &impl Fields) -> Result<Option<SignatureDigest>, Foreign> {
    fields
        .text(header::SIGNATURE_DIGEST)
        .map(|text| {
            SignatureDigest::from_hex(text).ok_or(Foreign::Invalid(header::SIGNATURE_DIGEST))
        })
        .transpose()
}

fn note(fields: &impl Fields) -> Option<DeadLetterNote> {
    let reason = fields.text(header::ERROR_REASON).unwrap_or("unknown");
    Some(DeadLetterNote {
        class: fields.text(header::ERROR_CLASS)?.to_owned(),
        reason: reason.to_owned(),
        error: ErrorText::cut(fields.text(header::ERROR).unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventId;
    use proptest::prelude::*;

    fn sample() -> Envelope {
        Envelope {
            event_id: "evt_12345".parse::<EventId>().unwrap(),
            source: "default".parse().unwrap(),
            body: Bytes::from_static(
                br#"{"orderId":"order_999","amount":9999,"status":"completed"}"#,
            ),
            content_type: ContentType::from_bytes(b"application/json"),
            received_at: UnixMicros(1_763_900_000_123_456),
            signed_at: Some(UnixSeconds(1_763_900_000)),
            signature_digest: Some(SignatureDigest::of(&[b"1763900000.", b"{}"])),
            attempt: Attempt::FIRST.next(),
            parked: 1,
            replays: 2,
            note: Some(DeadLetterNote {
                class: "passing".into(),
                reason: "foreign_key".into(),
                error: ErrorText::cut("the order is not there yet"),
            }),
            traceparent: TraceParent::from_bytes(
                b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
        }
    }

    #[test]
    fn the_wire_form_is_what_strangers_rely_on() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&sample().to_wire()).unwrap());
    }

    #[test]
    fn a_message_without_our_headers_is_foreign() {
        let bare = Wire {
            message_id: Some("x".into()),
            ..Wire::default()
        };
        assert_eq!(
            Envelope::read(&bare, Bytes::new()),
            Err(Foreign::Missing(header::ENVELOPE))
        );
        let mut newer = sample().to_wire();
        newer
            .headers
            .insert(header::ENVELOPE.into(), WireValue::Int(2));
        assert_eq!(
            Envelope::read(&newer, Bytes::new()),
            Err(Foreign::Invalid(header::ENVELOPE))
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            id in "[!-~]{1,255}", body: Vec<u8>, received in any::<i64>(),
            signed: Option<i64>, attempt in 1u16.., parked: u32, error in ".{0,300}", failed: bool,
        ) {
            let note = failed.then(|| DeadLetterNote { error: ErrorText::cut(&error), ..sample().note.unwrap() });
            let envelope = Envelope {
                event_id: id.parse().unwrap(), body: body.into(), received_at: UnixMicros(received),
                signed_at: signed.map(UnixSeconds), attempt: Attempt::new(attempt).unwrap(), parked, note,
                ..sample()
            };
            let read = Envelope::read(&envelope.to_wire(), envelope.body.clone());
            prop_assert_eq!(read, Ok(envelope));
        }
    }
}
