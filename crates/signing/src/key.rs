//! Secrets, and the keys made of them.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use std::fmt;

/// A shared secret as it came from the environment or a file. Wiped on drop, never shown.
#[derive(Debug)]
pub struct Secret(SecretBox<[u8]>);

/// A secret that would protect nothing, or is not written as its scheme writes secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// Too short.
    #[error(
        "a webhook secret has at least {} bytes; make one with: spillway secret generate",
        Secret::MIN_BYTES
    )]
    TooShort,
    /// The scheme writes secrets in base64.
    #[error("the scheme's secrets are written in base64, such as whsec_…, and this one is not")]
    NotBase64,
    /// The scheme writes secrets in hexadecimal.
    #[error("the scheme's secrets are written in hexadecimal, and this one is not")]
    NotHex,
}

impl Secret {
    /// 128 bits of hexadecimal text would be 32; 16 bytes is the least that cannot be guessed.
    pub const MIN_BYTES: usize = 16;

    /// Takes a secret; white space around it is a file's last line or a shell's doing, not part of it.
    pub fn new(text: &str) -> Result<Self, WeakSecret> {
        let trimmed = text.trim().as_bytes();
        if trimmed.len() < Self::MIN_BYTES {
            return Err(WeakSecret::TooShort);
        }
        Ok(Self(SecretBox::new(trimmed.into())))
    }

    /// Whether two secrets are the same. For configuration checks, not for verification.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

/// HMAC-SHA256 keyed with a secret: the key schedule is computed once and cloned per request.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// The key made of a secret as it stands.
    pub fn new(secret: &Secret) -> Self {
        Self::keyed(secret.bytes())
    }

    /// The key with these bytes, which are as many as a secret's.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self, WeakSecret> {
        if bytes.len() < Secret::MIN_BYTES {
            return Err(WeakSecret::TooShort);
        }
        Ok(Self::keyed(bytes))
    }

    fn keyed(bytes: &[u8]) -> Self {
        let keyed = Hmac::new_from_slice(bytes);
        Self(keyed.expect("HMAC takes a key of any length (RFC 2104 §2)"))
    }

    /// The MAC over these parts, one after the other; nothing is copied.
    fn mac<'p>(&self, parts: impl IntoIterator<Item = &'p [u8]>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        parts.into_iter().for_each(|part| mac.update(part));
        mac
    }

    pub(crate) fn mac_bytes<'p>(&self, parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// A check of MACs against the one over these parts, in constant time.
    pub(crate) fn checker<'p>(
        &self,
        parts: impl IntoIterator<Item = &'p [u8]>,
    ) -> impl Fn(&[u8; 32]) -> bool {
        let made = self.mac(parts).finalize();
        move |mac| made == hmac::digest::CtOutput::new((*mac).into())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
