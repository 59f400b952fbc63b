//! Fixed-width names for things of any length, all made with SHA-256.

use crate::{EventId, PipelineName, SourceName};
use sha2::{Digest, Sha256};
use std::fmt;

/// What an event is deduplicated by: SHA-256 over pipeline, source and event id, each preceded by its
/// length in bytes (u64, big-endian), so that no two triples run together into the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

/// SHA-256 of the raw body: what tells "the same event again" from "the same id, something else in it".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyHash([u8; 32]);

/// The first 16 bytes of SHA-256 over the bytes the sender's MAC covered.
///
/// Not over the signature header: that has many spellings of the same signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignatureDigest([u8; 16]);

impl Key {
    /// The key of an event in a pipeline.
    pub fn of(pipeline: &PipelineName, source: &SourceName, event_id: &EventId) -> Self {
        Self::of_parts(&[
            pipeline.as_str().as_bytes(),
            source.as_str().as_bytes(),
            event_id.as_str().as_bytes(),
        ])
    }

    /// The key of the one letter for all copies of a captured request, whatever id each came under.
    pub fn of_replayed(
        pipeline: &PipelineName,
        source: &SourceName,
        digest: &SignatureDigest,
    ) -> Self {
        // Four parts: no event's key is made of as many.
        Self::of_parts(&[
            b"replayed",
            pipeline.as_str().as_bytes(),
            source.as_str().as_bytes(),
            digest.as_bytes(),
        ])
    }

    fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The key of something that carries no headers of ours: its body is all there is to know it by.
    pub fn of_foreign(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

impl BodyHash {
    /// The hash of a body.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

impl SignatureDigest {
    /// The digest of what was signed, given in the parts it is made of.
    pub fn of(signed: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        signed.iter().for_each(|part| hasher.update(part));
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize()[..16]);
        Self(digest)
    }

    /// Reads the digest from its hexadecimal form.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 16];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(Self(digest))
    }
}

macro_rules! bytes_shown_as_hex {
    ($($name:ident: $len:literal),+) => {$(
        impl $name {
            /// The bytes, as they are stored.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Takes the bytes back from where they were stored.
            pub fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )+};
}

bytes_shown_as_hex!(Key: 32, BodyHash: 32, SignatureDigest: 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_run_together_have_different_keys() {
        let key = |pipeline: &str, source: &str, id: &str| {
            let parsed = (pipeline.parse(), source.parse(), id.parse());
            Key::of(&parsed.0.unwrap(), &parsed.1.unwrap(), &parsed.2.unwrap())
        };
        assert_ne!(key("payments", "ab", "c"), key("payments", "a", "bc"));
        assert_ne!(key("payments", "a", "x"), key("payment", "s-a", "x"));
        assert_eq!(key("payments", "a", "x"), key("payments", "a", "x"));
    }
}
