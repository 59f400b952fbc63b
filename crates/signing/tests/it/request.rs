//! A signed request, and the ways to spoil it.

use envelope::UnixSeconds;
use signing::schemes::hmac::Settings;
use signing::{
    Encoding, Refusal, Scheme, SchemeName, Secret, SigningKey, ToSign, Verified, Verifier, verify,
};
use std::time::Duration;

pub const NOW: UnixSeconds = UnixSeconds(1_763_900_000);
pub const ID: &str = "evt_12345";
pub const BODY: &[u8] =
    br#"{"id":"evt_12345","event_id":"evt_12345","orderId":"order_999","amount":9999,"status":"completed"}"#;
/// Good for every scheme: those that decode it read 24 bytes of base64.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const OTHER: &str = "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Clone, Debug)]
pub struct Request {
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// Every scheme that signs, `hmac` in two shapes.
pub fn signed_schemes() -> Vec<(String, Scheme)> {
    let named = SchemeName::ALL
        .into_iter()
        .filter_map(|name| Some((name.to_string(), name.scheme()?)));
    let described = [
        ("hmac of the id", hmac("{id}|{timestamp}|{body}")),
        ("hmac of the body", hmac("{body}")),
    ];
    let described = described.map(|(name, scheme)| (name.to_owned(), scheme));
    named
        .chain(described)
        .filter(|(_, scheme)| scheme.is_signed())
        .collect()
}

pub fn hmac(signed: &str) -> Scheme {
    let is_in = |name: &str| signed.contains(name);
    let settings = Settings {
        signature_header: "X-Sig".to_owned(),
        encoding: Encoding::Base64,
        prefix: "hmac ".to_owned(),
        signed: signed.to_owned(),
        id_header: is_in("{id}").then(|| "X-Id".to_owned()),
        id_field: (!is_in("{id}")).then(|| "id".to_owned()),
        timestamp_header: is_in("{timestamp}").then(|| "X-Time".to_owned()),
        tolerance: Duration::from_secs(300),
        secret_encoding: None,
    };
    settings.scheme().unwrap()
}

pub fn key(scheme: Scheme, secret: &str) -> SigningKey {
    scheme.key(&Secret::new(secret).unwrap()).unwrap()
}

pub fn signed_at(scheme: Scheme, timestamp: UnixSeconds, body: &[u8]) -> Request {
    let event = ToSign {
        id: ID,
        timestamp,
        body,
    };
    let headers = scheme.sign(Some(&key(scheme, SECRET)), &event);
    Request {
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .collect(),
        body: body.to_vec(),
    }
}

pub fn signed(scheme: Scheme) -> Request {
    signed_at(scheme, NOW, BODY)
}

pub fn check(scheme: Scheme, request: &Request) -> Result<Verified, Refusal> {
    check_at(scheme, request, NOW, &[OTHER, SECRET])
}

pub fn check_at(
    scheme: Scheme,
    request: &Request,
    now: UnixSeconds,
    secrets: &[&str],
) -> Result<Verified, Refusal> {
    let keys = secrets.iter().map(|secret| key(scheme, secret)).collect();
    let header = |name: &str| {
        let named = request
            .headers
            .iter()
            .filter(move |header| header.0.eq_ignore_ascii_case(name));
        let values: Vec<&[u8]> = named.map(|(_, value)| value.as_slice()).collect();
        values.into_iter()
    };
    verify(&Verifier::new(scheme, keys), header, &request.body, now)
}
