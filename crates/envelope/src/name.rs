//! Bounded names. Whatever holds one of these may be put into an AMQP field as it is.
//!
//! Cheap to clone: an event's names are copied into its row, its effect and its next envelope.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The sender's own name for an event: 1–255 visible ASCII characters.
///
/// 255 bytes is the length of an AMQP short string (AMQP 0-9-1 §4.2.5.3); one more makes the client
/// library panic. Visible ASCII keeps it printable in a log line and in a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Arc<str>);

/// Who sent the event: the last part of `/webhooks/{source}`, `[a-z0-9-]{1,64}`.
///
/// It is the routing key on the broker, hence no dots and no wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName(Arc<str>);

/// One consumer of events with its own queue, handler and dedupe keys, `[a-z0-9-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineName(Arc<str>);

/// The rule a name broke, in words for whoever chose the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not 1–255 visible ASCII characters.
    #[error("an event id is 1 to 255 visible ASCII characters")]
    EventId,
    /// Not `[a-z0-9-]{1,64}`.
    #[error("a name is 1 to 64 characters out of a-z, 0-9 and '-'")]
    Label,
}

impl EventId {
    /// The longest event id, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Takes the id from the bytes of a header.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidName> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidName::EventId)?;
        text.parse()
    }
}

impl FromStr for EventId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bounded = (1..=Self::MAX_BYTES).contains(&text.len());
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if bounded && visible {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::EventId)
        }
    }
}

fn label(text: &str) -> Result<Arc<str>, InvalidName> {
    let bounded = (1..=64).contains(&text.len());
    let plain = text
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if bounded && plain {
        Ok(text.into())
    } else {
        Err(InvalidName::Label)
    }
}

impl FromStr for SourceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        label(text).map(Self)
    }
}

impl FromStr for PipelineName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        label(text).map(Self)
    }
}

macro_rules! reads_as_text {
    ($($name:ident),+) => {$(
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

reads_as_text!(EventId, SourceName, PipelineName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_bounded_by_the_amqp_short_string() {
        assert!("a".repeat(255).parse::<EventId>().is_ok());
        for refused in ["", " ", "a b", "é", "a\n", "a\0", &"a".repeat(256)] {
            assert_eq!(
                refused.parse::<EventId>(),
                Err(InvalidName::EventId),
                "{refused:?}"
            );
        }
        assert!(EventId::from_bytes(b"\xff").is_err());
    }

    #[test]
    fn a_source_name_cannot_be_a_routing_pattern() {
        assert!("stripe-eu".parse::<SourceName>().is_ok());
        for refused in ["", "Stripe", "a.b", "*", "#", "a/b", &"a".repeat(65)] {
            assert!(refused.parse::<SourceName>().is_err(), "{refused:?}");
        }
    }
}
