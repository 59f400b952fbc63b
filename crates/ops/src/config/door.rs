//! Who may come to the door, from where and how fast: what the types of `[ingest]` and `[sources]` cannot check.

use super::{IngestConfig, Network, Problem, SourceConfig, TlsConfig};
use envelope::SourceName;
use serde::Deserialize;
use std::path::Path;

/// The name of a header, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HeaderName(String);

impl HeaderName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HeaderName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // RFC 9110 §5.6.2, without the marks that no header of this kind has.
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || !text.bytes().all(usual) {
            return Err("is the name of a header, such as \"X-Forwarded-For\"");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// What both files of a pair are.
#[derive(Clone, Copy, Debug)]
pub struct TlsFiles<'a> {
    /// The chain, our own certificate first.
    pub certificate: &'a Path,
    /// Its private key.
    pub key: &'a Path,
}

impl TlsConfig {
    /// Both files, where TLS is asked for.
    pub fn files(&self) -> Option<TlsFiles<'_>> {
        Some(TlsFiles {
            certificate: self.certificate.as_deref()?,
            key: self.key.as_deref()?,
        })
    }
}

pub(super) fn check(ingest: &IngestConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |key: &str, rule: &str| {
        problems.push(Problem::new(format!("ingest.{key}"), rule));
    };
    let header = ingest.client_address_header.as_ref();
    if header.is_some() && ingest.trusted_proxies.is_empty() {
        problem(
            "trusted_proxies",
            "must name the proxies whose client_address_header is believed, such as [\"10.0.0.0/8\"]: \
             else anybody could write one",
        );
    }
    if header.is_none() && !ingest.trusted_proxies.is_empty() {
        problem(
            "client_address_header",
            "must name the header in which the trusted_proxies write their clients' addresses, such as \
             \"X-Forwarded-For\"",
        );
    }
    if header.is_some_and(|header| header.as_str() == "forwarded") {
        problem(
            "client_address_header",
            "is a header with a list of addresses, such as \"X-Forwarded-For\": that of RFC 7239 is not read",
        );
    }
    let TlsConfig {
        certificate,
        key,
        handshake_timeout,
    } = &ingest.tls;
    if certificate.is_some() != key.is_some() {
        let missing = if key.is_none() { "key" } else { "certificate" };
        problem(
            &format!("tls.{missing}"),
            "must be set as well: TLS takes a certificate and its key",
        );
    }
    if handshake_timeout.is_zero() {
        problem("tls.handshake_timeout", "must be above 0, such as \"5s\"");
    }
    problems
}

pub(super) fn check_source(name: &SourceName, source: &SourceConfig) -> Option<Problem> {
    (source.max_burst.is_some() && source.max_rate.is_none()).then(|| {
        let rule = "is for a source with a max_rate only, such as max_rate = 100";
        Problem::new(format!("sources.{name}.max_burst"), rule)
    })
}

/// Whether one of these networks has the address.
pub fn any_contains(networks: &[Network], address: std::net::IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}
