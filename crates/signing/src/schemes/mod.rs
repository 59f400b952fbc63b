//! The signature schemes, one file each. Each says where the event's id, its type and its timestamp come from,
//! which of them are signed, and how the provider sends again.
//!
//! A type that stands only in a header is not carried on: give each type you subscribe to its own source where
//! the body does not tell.

mod github;
pub mod hmac;
mod none;
mod shopify;
mod slack;
pub mod spillway;
mod standard_webhooks;
mod stripe;
mod svix;

use crate::key::{Secret, SigningKey, WeakSecret};
use crate::rules::{Rules, SecretForm};
use std::fmt;
use std::str::FromStr;

/// How a source signs.
#[derive(Clone, Copy, Debug)]
pub struct Scheme(&'static Rules);

/// The schemes by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemeName {
    /// `X-Event-Id`, `X-Timestamp`, `X-Signature: sha256=…`.
    #[default]
    Spillway,
    /// The Standard Webhooks specification, symmetric signatures.
    StandardWebhooks,
    /// The same under Svix' own header names.
    Svix,
    /// `Stripe-Signature: t=…,v1=…`.
    Stripe,
    /// `X-Hub-Signature-256: sha256=…`.
    Github,
    /// `X-Shopify-Hmac-Sha256`, base64.
    Shopify,
    /// `X-Slack-Signature: v0=…`.
    Slack,
    /// An HMAC-SHA256 of the operator's description.
    Hmac,
    /// No signature at all.
    None,
}

impl SchemeName {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Spillway,
        Self::StandardWebhooks,
        Self::Svix,
        Self::Stripe,
        Self::Github,
        Self::Shopify,
        Self::Slack,
        Self::Hmac,
        Self::None,
    ];

    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spillway => "spillway",
            Self::StandardWebhooks => "standard-webhooks",
            Self::Svix => "svix",
            Self::Stripe => "stripe",
            Self::Github => "github",
            Self::Shopify => "shopify",
            Self::Slack => "slack",
            Self::Hmac => "hmac",
            Self::None => "none",
        }
    }

    /// The scheme; nothing for `hmac`, which is whatever [`hmac::Settings`] say.
    pub fn scheme(self) -> Option<Scheme> {
        Some(Scheme(match self {
            Self::Spillway => &spillway::RULES,
            Self::StandardWebhooks => &standard_webhooks::RULES,
            Self::Svix => &svix::RULES,
            Self::Stripe => &stripe::RULES,
            Self::Github => &github::RULES,
            Self::Shopify => &shopify::RULES,
            Self::Slack => &slack::RULES,
            Self::None => &none::RULES,
            Self::Hmac => return None,
        }))
    }
}

impl SchemeName {
    /// Writes a key as the scheme's secrets are written; in hexadecimal, where any text will do.
    pub fn write_secret(self, key: &[u8]) -> String {
        let rules = self.scheme().map(Scheme::rules);
        rules
            .map_or(SecretForm::Hex, |rules| rules.secret)
            .write(key)
    }
}

impl FromStr for SchemeName {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |scheme: &Self| scheme.as_str() == text;
        Self::ALL.into_iter().find(named).ok_or(UnknownScheme)
    }
}

impl fmt::Display for SchemeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is none of [`SchemeName::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownScheme;

impl fmt::Display for UnknownScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = SchemeName::ALL.map(SchemeName::as_str).join(", ");
        write!(f, "the schemes are: {names}")
    }
}

impl std::error::Error for UnknownScheme {}

impl Scheme {
    pub(crate) fn rules(self) -> &'static Rules {
        self.0
    }

    /// The key a secret of this scheme stands for.
    ///
    /// # Errors
    /// A secret that is not written as the scheme writes its secrets, or is too short once it is decoded.
    pub fn key(self, secret: &Secret) -> Result<SigningKey, WeakSecret> {
        self.0.secret.key(secret.bytes())
    }

    /// Whether requests are signed at all.
    pub fn is_signed(self) -> bool {
        self.0.signature.is_some()
    }

    /// Every header the scheme reads, in lower case.
    pub fn headers(self) -> Vec<&'static str> {
        self.0.headers()
    }
}
