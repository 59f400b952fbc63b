//! The sender's side: the headers of a signed request.

use crate::rules::{Form, IdFrom, Part, TimestampFrom};
use crate::{Scheme, SigningKey};
use envelope::{EventId, UnixSeconds};

/// What a sender knows of an event.
#[derive(Clone, Copy, Debug)]
pub struct ToSign<'a> {
    /// The event's id. Where the scheme has it in the body, put it there; it is not in the headers then.
    pub id: &'a str,
    /// When it is signed.
    pub timestamp: UnixSeconds,
    /// The body, byte for byte as it is sent.
    pub body: &'a [u8],
}

impl Scheme {
    /// The headers to send with a body: its signature, and what else the scheme has in headers. Without a key
    /// there is no signature, which is right for `none` alone.
    pub fn sign(self, key: Option<&SigningKey>, event: &ToSign<'_>) -> Vec<(&'static str, String)> {
        let rules = self.rules();
        let timestamp = event.timestamp.0.to_string();
        let mut headers = Vec::with_capacity(3);
        if let IdFrom::Header(name) = rules.id {
            headers.push((name, event.id.to_owned()));
        }
        if let Some(TimestampFrom::Header(name)) = rules.timestamp {
            headers.push((name, timestamp.clone()));
        }
        if let (Some(signature), Some(key)) = (&rules.signature, key) {
            let bytes = |part: &Part| match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Id => event.id.as_bytes(),
                Part::Timestamp => timestamp.as_bytes(),
                Part::Body => event.body,
            };
            let mac = key.mac_bytes(rules.covered.iter().map(bytes));
            headers.push((signature.header, signature.form.write(&mac, &timestamp)));
        }
        headers
    }

    /// The id an event will be known by: the sender's, where the scheme has it in a header.
    pub fn known_as(self, id: &EventId, body: &[u8]) -> EventId {
        match self.rules().id {
            IdFrom::Header(_) => id.clone(),
            from @ (IdFrom::Body(_) | IdFrom::BodyHash) => from.read_from(body),
        }
    }
}

impl Form {
    fn write(&self, mac: &[u8; 32], timestamp: &str) -> String {
        use crate::Encoding::{Base64, Hex};
        match self {
            Self::One { prefix, encoding } => format!("{prefix}{}", encoding.text(mac)),
            Self::Words => format!("v1,{}", Base64.text(mac)),
            Self::Pairs => format!("t={timestamp},v1={}", Hex.text(mac)),
        }
    }
}
