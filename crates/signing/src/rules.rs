//! What a scheme is, as data: where its parts stand, what its signature covers, how it is written.

use crate::body_id;
use crate::key::{SigningKey, WeakSecret};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use envelope::EventId;
use secrecy::zeroize::Zeroizing;
use std::time::Duration;

/// How far a signed timestamp may lie from now, in either direction: the bound on replaying a captured
/// request. Five minutes is what Stripe, Slack and Standard Webhooks use.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// One scheme. It lives as long as the program: those we know are constants, and one from a configuration is
/// made once, at the start.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Where the signature stands; nothing where there is none.
    pub(crate) signature: Option<Signature>,
    pub(crate) id: IdFrom,
    /// Where the timestamp stands, where one is signed.
    pub(crate) timestamp: Option<TimestampFrom>,
    /// What the signature covers, in this order.
    pub(crate) covered: &'static [Part],
    pub(crate) tolerance: Duration,
    /// How the secret is written.
    pub(crate) secret: SecretForm,
}

#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) header: &'static str,
    pub(crate) form: Form,
}

/// How the header of the signature is written.
#[derive(Debug)]
pub(crate) enum Form {
    /// One signature after a prefix.
    One {
        prefix: &'static str,
        encoding: Encoding,
    },
    /// `v1,<base64>`, several with spaces between them.
    Words,
    /// `t=<timestamp>,v1=<hex>`, of `v1` several.
    Pairs,
}

/// Where the sender's name for the event stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdFrom {
    Header(&'static str),
    /// A field of the JSON object that is the body; without it, the hash of the body.
    Body(&'static str),
    /// The hash of the body.
    BodyHash,
}

#[derive(Debug)]
pub(crate) enum TimestampFrom {
    Header(&'static str),
    /// `t=` in the header of the signature.
    Signature,
}

/// A piece of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(&'static str),
    Id,
    Timestamp,
    Body,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 4648 §8, of either case.
    #[default]
    Hex,
    /// RFC 4648 §4, padded.
    Base64,
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SecretForm {
    /// Its bytes are the key.
    #[default]
    Text,
    /// The key in base64, after this prefix where it is there.
    Base64 { prefix: &'static str },
    /// The key in hexadecimal.
    Hex,
}

/// A SHA-256 MAC.
pub(crate) type MacBytes = [u8; 32];

impl Rules {
    /// Whether the signature covers the event's id. One in the body, or made from it, is covered with it.
    pub(crate) fn covers_id(&self) -> bool {
        match self.id {
            IdFrom::Header(_) => self.covered.contains(&Part::Id),
            IdFrom::Body(_) | IdFrom::BodyHash => true,
        }
    }

    /// The headers it reads.
    pub(crate) fn headers(&self) -> Vec<&'static str> {
        let id = match self.id {
            IdFrom::Header(name) => Some(name),
            IdFrom::Body(_) | IdFrom::BodyHash => None,
        };
        let timestamp = match self.timestamp {
            Some(TimestampFrom::Header(name)) => Some(name),
            Some(TimestampFrom::Signature) | None => None,
        };
        let signature = self.signature.as_ref().map(|rule| rule.header);
        [id, timestamp, signature].into_iter().flatten().collect()
    }

    /// What is signed between the id and whatever follows it.
    pub(crate) fn separator_after_id(&self) -> Option<&'static str> {
        let after = |parts: &[Part]| match parts {
            [Part::Id, Part::Literal(text)] => Some(*text),
            _ => None,
        };
        self.covered.windows(2).find_map(after)
    }

    /// Whether signed bytes that come again under another id can be told from an honest event: only where
    /// their timestamp is signed with them, and the id is not.
    pub(crate) fn needs_replay_guard(&self) -> bool {
        self.timestamp.is_some() && !self.covers_id()
    }
}

impl IdFrom {
    /// The id in a body, or made from it.
    pub(crate) fn read_from(self, body: &[u8]) -> EventId {
        let named = match self {
            Self::Body(field) => body_id::field(body, field),
            Self::Header(_) | Self::BodyHash => None,
        };
        named.unwrap_or_else(|| body_id::hash(body))
    }
}

impl Form {
    /// Whether any of the signatures in the header is `made`. What is not written as it should be is not one.
    pub(crate) fn any(&self, value: &[u8], made: impl Fn(&MacBytes) -> bool) -> bool {
        match self {
            Self::One { prefix, encoding } => value
                .strip_prefix(prefix.as_bytes())
                .and_then(|text| encoding.mac(text))
                .is_some_and(|mac| made(&mac)),
            Self::Words => value
                .split(|byte| *byte == b' ')
                .filter_map(|word| Encoding::Base64.mac(word.strip_prefix(b"v1,")?))
                .any(|mac| made(&mac)),
            Self::Pairs => pairs(value, b"v1")
                .filter_map(|text| Encoding::Hex.mac(text))
                .any(|mac| made(&mac)),
        }
    }
}

/// The values of a name in `name=value,name=value`.
pub(crate) fn pairs<'v>(value: &'v [u8], name: &'static [u8]) -> impl Iterator<Item = &'v [u8]> {
    value
        .split(|byte| *byte == b',')
        .filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

impl Encoding {
    fn mac(self, text: &[u8]) -> Option<MacBytes> {
        let mut mac = MacBytes::default();
        match self {
            Self::Hex => hex::decode_to_slice(text, &mut mac).ok()?,
            // 44 characters are 33 bytes to a decoder that has not seen the padding.
            Self::Base64 => {
                let mut room = [0; 33];
                let length = STANDARD.decode_slice(text, &mut room).ok()?;
                mac.copy_from_slice(room[..length].get(..32).filter(|_| length == 32)?);
            }
        }
        Some(mac)
    }

    pub(crate) fn text(self, mac: &MacBytes) -> String {
        match self {
            Self::Hex => hex::encode(mac),
            Self::Base64 => STANDARD.encode(mac),
        }
    }
}

impl SecretForm {
    pub(crate) fn write(self, key: &[u8]) -> String {
        match self {
            Self::Text | Self::Hex => hex::encode(key),
            Self::Base64 { prefix } => format!("{prefix}{}", STANDARD.encode(key)),
        }
    }

    /// The key a secret stands for.
    pub(crate) fn key(self, secret: &[u8]) -> Result<SigningKey, WeakSecret> {
        // Wiped like the secret it was made from.
        let bytes = Zeroizing::new(match self {
            Self::Text => return SigningKey::of_bytes(secret),
            Self::Base64 { prefix } => {
                let text = secret.strip_prefix(prefix.as_bytes()).unwrap_or(secret);
                STANDARD_PAD_INDIFFERENT
                    .decode(text)
                    .map_err(|_| WeakSecret::NotBase64)?
            }
            Self::Hex => hex::decode(secret).map_err(|_| WeakSecret::NotHex)?,
        });
        SigningKey::of_bytes(&bytes)
    }
}
