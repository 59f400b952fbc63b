//! The verdict on one request.

use crate::{SigningKey, schemes::spillway};
use envelope::{EventId, SignatureDigest, UnixSeconds};
use std::time::Duration;

/// How far a signed timestamp may lie from now, in either direction: the bound on replaying a captured
/// request. Five minutes is what Stripe and Standard Webhooks use.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// A request whose signature was checked. Only [`verify`] makes one, and only it can be sealed into an
/// envelope.
#[derive(Debug)]
pub struct Verified {
    event_id: EventId,
    signed_at: UnixSeconds,
    digest: SignatureDigest,
}

impl Verified {
    pub(crate) fn new(event_id: EventId, signed_at: UnixSeconds, digest: SignatureDigest) -> Self {
        Self {
            event_id,
            signed_at,
            digest,
        }
    }

    /// The sender's name for the event.
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// When the sender signed.
    pub fn signed_at(&self) -> UnixSeconds {
        self.signed_at
    }

    /// What the signature covered, in short; see the replay guard.
    pub fn digest(&self) -> SignatureDigest {
        self.digest
    }
}

/// Why a request is refused. The variants are the answers it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header is missing, empty, doubled or oversize, or the timestamp is not one: 400.
    #[error("{header} {problem}")]
    Malformed {
        /// The header.
        header: &'static str,
        /// What is wrong with it, in words for the sender.
        problem: &'static str,
    },
    /// The signature does not match: 403.
    #[error("the signature does not match")]
    Signature,
    /// The signature matches, and its timestamp is too far from now: 403.
    #[error("the timestamp is too far from now")]
    Stale,
}

/// Verifies a request of the default scheme against any of a source's keys.
///
/// `header` gives all values of a header. The order is fixed: form (400), then the MAC, and the clock last,
/// so that only a sender who knows the secret learns what time it is here.
pub fn verify<'h, I>(
    keys: &[SigningKey],
    header: impl Fn(&'static str) -> I,
    body: &[u8],
    now: UnixSeconds,
) -> Result<Verified, Refusal>
where
    I: Iterator<Item = &'h [u8]>,
{
    let event_id = single(&header, spillway::EVENT_ID)?;
    let timestamp = single(&header, spillway::TIMESTAMP)?;
    let signature = single(&header, spillway::SIGNATURE)?;
    let event_id = EventId::from_bytes(event_id).map_err(|_| {
        malformed(
            spillway::EVENT_ID,
            "must be 1 to 255 visible ASCII characters",
        )
    })?;
    let signed_at = spillway::timestamp(timestamp).ok_or(malformed(
        spillway::TIMESTAMP,
        "must be unix seconds: 1 to 12 digits",
    ))?;

    if !spillway::matches(keys, timestamp, body, signature) {
        return Err(Refusal::Signature);
    }
    if signed_at.abs_diff(now) > TOLERANCE {
        return Err(Refusal::Stale);
    }
    Ok(Verified::new(
        event_id,
        signed_at,
        spillway::digest(timestamp, body),
    ))
}

fn single<'h, I>(
    header: impl Fn(&'static str) -> I,
    name: &'static str,
) -> Result<&'h [u8], Refusal>
where
    I: Iterator<Item = &'h [u8]>,
{
    let mut values = header(name);
    match (values.next(), values.next()) {
        (None, _) => Err(malformed(name, "is missing")),
        (Some(_), Some(_)) => Err(malformed(name, "is there more than once")),
        (Some([]), None) => Err(malformed(name, "is empty")),
        (Some(value), None) if value.len() > spillway::HEADER_MAX_BYTES => {
            Err(malformed(name, "is too long"))
        }
        (Some(value), None) => Ok(value),
    }
}

fn malformed(header: &'static str, problem: &'static str) -> Refusal {
    Refusal::Malformed { header, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use proptest::prelude::*;

    const NOW: UnixSeconds = UnixSeconds(1_763_900_000);
    const BODY: &[u8] = br#"{"orderId":"order_999","amount":9999,"status":"completed"}"#;

    fn key(text: &str) -> SigningKey {
        SigningKey::new(&Secret::new(text).unwrap())
    }

    fn check(headers: &[(&str, &[u8])], body: &[u8]) -> Result<Verified, Refusal> {
        let keys = [key("an older secret of ours"), key("the secret of today")];
        let values = |name: &'static str| {
            let named = move |header: &&(&str, &'static [u8])| header.0.eq_ignore_ascii_case(name);
            // The table's values live as long as the test.
            let headers: Vec<(&str, &'static [u8])> = headers
                .iter()
                .map(|(name, value)| (*name, &*value.to_vec().leak()))
                .collect();
            headers
                .iter()
                .filter(named)
                .map(|header| header.1)
                .collect::<Vec<_>>()
                .into_iter()
        };
        verify(&keys, values, body, NOW)
    }

    fn signed(timestamp: &str, body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let signature = spillway::sign(&key("the secret of today"), timestamp.as_bytes(), body);
        vec![
            (spillway::EVENT_ID, b"evt_12345".to_vec()),
            (spillway::TIMESTAMP, timestamp.into()),
            (spillway::SIGNATURE, signature.into_bytes()),
        ]
    }

    fn refusal(headers: &[(&'static str, Vec<u8>)], body: &[u8]) -> Option<Refusal> {
        let borrowed: Vec<(&str, &[u8])> =
            headers.iter().map(|(n, v)| (*n, v.as_slice())).collect();
        check(&borrowed, body).err()
    }

    #[test]
    fn a_signed_request_is_let_in_by_any_of_the_live_secrets() {
        assert_eq!(refusal(&signed("1763900000", BODY), BODY), None);
        let signature = spillway::sign(&key("an older secret of ours"), b"1763900000", BODY);
        let mut headers = signed("1763900000", BODY);
        headers[2].1 = signature.into_bytes();
        assert_eq!(refusal(&headers, BODY), None);
    }

    #[test]
    fn a_body_changed_after_signing_is_refused() {
        assert_eq!(
            refusal(&signed("1763900000", BODY), b"{}"),
            Some(Refusal::Signature)
        );
    }

    #[test]
    fn a_timestamp_counts_in_both_directions_and_only_after_the_mac() {
        let at = |seconds: i64| (NOW.0 + seconds).to_string();
        for inside in [-300, 0, 300] {
            assert_eq!(refusal(&signed(&at(inside), BODY), BODY), None, "{inside}");
        }
        for outside in [-301, 301, 302, 100_000] {
            assert_eq!(
                refusal(&signed(&at(outside), BODY), BODY),
                Some(Refusal::Stale),
                "{outside}"
            );
            assert_eq!(
                refusal(&signed(&at(outside), BODY), b"x"),
                Some(Refusal::Signature),
                "{outside}"
            );
        }
    }

    #[test]
    fn a_timestamp_that_is_not_plain_digits_is_malformed() {
        for text in [
            "NaN",
            "1e9",
            " 17",
            "+17",
            "-17",
            "17.0",
            "0x11",
            "12345678901234567890",
            "1763900000 ",
        ] {
            let refused = refusal(&signed(text, BODY), BODY);
            assert!(
                matches!(
                    refused,
                    Some(Refusal::Malformed {
                        header: spillway::TIMESTAMP,
                        ..
                    })
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn a_header_missing_empty_doubled_or_oversize_is_malformed() {
        for index in 0..3 {
            let good = signed("1763900000", BODY);
            let name = good[index].0;
            let mut missing = good.clone();
            missing.remove(index);
            let mut empty = good.clone();
            empty[index].1.clear();
            let mut doubled = good.clone();
            doubled.push(good[index].clone());
            let mut oversize = good.clone();
            oversize[index].1 = vec![b'7'; 300];
            for headers in [missing, empty, doubled, oversize] {
                let refused = refusal(&headers, BODY);
                assert!(
                    matches!(refused, Some(Refusal::Malformed { header, .. }) if header == name),
                    "{headers:?}: {refused:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn a_body_verifies_if_and_only_if_it_is_what_was_signed(body: Vec<u8>, other: Vec<u8>) {
            let headers = signed("1763900000", &body);
            prop_assert_eq!(refusal(&headers, &body), None);
            prop_assert_eq!(refusal(&headers, &other).is_none(), body == other);
        }

        #[test]
        fn no_signature_header_panics_or_is_let_in(signature: Vec<u8>) {
            let mut headers = signed("1763900000", BODY);
            headers[2].1 = signature;
            prop_assert!(refusal(&headers, BODY).is_some());
        }
    }
}
