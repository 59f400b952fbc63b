//! `[sources.NAME.hmac]`: a signature as the operator describes it.

use confique::Config as Confique;
use serde::Deserialize;
use signing::Encoding;
use signing::schemes::hmac::Settings;
use std::time::Duration;

/// `[sources.NAME.hmac]`, for `scheme = "hmac"`. The signature is always an HMAC-SHA256.
#[derive(Clone, Debug, Confique)]
pub struct HmacConfig {
    /// The header of the signature, such as `X-Signature`.
    pub signature_header: String,
    /// How the signature is written: `hex` or `base64`.
    #[config(default = "hex")]
    pub encoding: HmacEncoding,
    /// What stands before it in the header, such as `sha256=`.
    #[config(default = "")]
    pub prefix: String,
    /// What is signed: text with `{body}`, and where they are signed `{timestamp}` and `{id}`.
    #[config(default = "{body}")]
    pub signed: String,
    /// The header of the event's id. Without it and `id_field` the hash of the body is its id.
    pub id_header: Option<String>,
    /// The field of the JSON body with the event's id.
    pub id_field: Option<String>,
    /// The header of the timestamp, in unix seconds; it has to be signed.
    pub timestamp_header: Option<String>,
    /// How far the timestamp may be from now, in either direction.
    #[config(default = "300s", deserialize_with = humantime_serde::deserialize)]
    pub tolerance: Duration,
    /// How the secrets are written, where they are not the key as they stand: `hex` or `base64`.
    pub secret_encoding: Option<HmacEncoding>,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HmacEncoding {
    /// Two digits a byte.
    #[default]
    Hex,
    /// With padding.
    Base64,
}

impl HmacConfig {
    /// The same in the words of `signing`.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            signature_header: self.signature_header.clone(),
            encoding: self.encoding.into(),
            prefix: self.prefix.clone(),
            signed: self.signed.clone(),
            id_header: self.id_header.clone(),
            id_field: self.id_field.clone(),
            timestamp_header: self.timestamp_header.clone(),
            tolerance: self.tolerance,
            secret_encoding: self.secret_encoding.map(Into::into),
        }
    }
}

impl From<HmacEncoding> for Encoding {
    fn from(encoding: HmacEncoding) -> Self {
        match encoding {
            HmacEncoding::Hex => Self::Hex,
            HmacEncoding::Base64 => Self::Base64,
        }
    }
}
