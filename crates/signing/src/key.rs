//! Secrets, and the keys made of them.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use std::fmt;

/// A shared secret as it came from the environment or a file. Wiped on drop, never shown.
#[derive(Debug)]
pub struct Secret(SecretBox<[u8]>);

/// A secret that would protect nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook secret has at least {} bytes; make one with: openssl rand -hex 32",
    Secret::MIN_BYTES
)]
pub struct WeakSecret;

impl Secret {
    /// 128 bits of hexadecimal text would be 32; 16 bytes is the least that cannot be guessed.
    pub const MIN_BYTES: usize = 16;

    /// Takes a secret; white space around it is a file's last line or a shell's doing, not part of it.
    pub fn new(text: &str) -> Result<Self, WeakSecret> {
        let trimmed = text.trim().as_bytes();
        if trimmed.len() < Self::MIN_BYTES {
            return Err(WeakSecret);
        }
        Ok(Self(SecretBox::new(trimmed.into())))
    }

    /// Whether two secrets are the same. For configuration checks, not for verification.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

/// HMAC-SHA256 keyed with a secret: the key schedule is computed once and cloned per request.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// The key made of a secret.
    pub fn new(secret: &Secret) -> Self {
        let keyed = Hmac::new_from_slice(secret.0.expose_secret());
        Self(keyed.expect("HMAC takes a key of any length (RFC 2104 §2)"))
    }

    /// The MAC over the concatenation of `parts`.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
