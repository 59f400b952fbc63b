//! The same promises for every scheme.

use crate::request::{
    BODY, ID, NOW, OTHER, Request, SECRET, check, check_at, hmac, key, signed, signed_at,
    signed_schemes,
};
use envelope::UnixSeconds;
use proptest::prelude::*;
use signing::schemes::spillway;
use signing::{Refusal, Scheme, SchemeName, Secret, ToSign, WeakSecret};

fn named(name: SchemeName) -> Scheme {
    name.scheme().unwrap()
}

/// Of the schemes that sign a timestamp.
fn with_a_timestamp() -> Vec<(String, Scheme)> {
    let has_one = |(_, scheme): &(String, Scheme)| {
        check(*scheme, &signed(*scheme)).unwrap().signed_at() == Some(NOW)
    };
    signed_schemes().into_iter().filter(has_one).collect()
}

#[test]
fn what_is_signed_is_let_in_by_any_of_the_live_secrets_and_says_which() {
    for (name, scheme) in signed_schemes() {
        let request = signed(scheme);
        let verified = check(scheme, &request).unwrap();
        assert_eq!(verified.event_id().as_str(), ID, "{name}");
        assert_eq!(verified.key(), Some(1), "{name}");
        let first = check_at(scheme, &request, NOW, &[SECRET, OTHER]).unwrap();
        assert_eq!(first.key(), Some(0), "{name}");
    }
    let (stamped, all) = (with_a_timestamp().len(), signed_schemes().len());
    assert_eq!((stamped, all), (6, 9));
}

#[test]
fn a_flipped_bit_anywhere_in_the_body_or_the_signature_is_refused() {
    for (name, scheme) in signed_schemes() {
        let good = signed(scheme);
        for byte in 0..good.body.len() {
            let mut spoiled = good.clone();
            spoiled.body[byte] ^= 1 << (byte % 8);
            let refused = check(scheme, &spoiled).unwrap_err();
            assert_eq!(refused, Refusal::Signature, "{name}, byte {byte}");
        }
        let (signature, length) = (good.headers.len() - 1, good.headers.last().unwrap().1.len());
        for byte in 0..length {
            let mut spoiled = good.clone();
            // A digit of another case is the same digit.
            spoiled.headers[signature].1[byte] ^= 1;
            assert!(check(scheme, &spoiled).is_err(), "{name}, byte {byte}");
        }
    }
}

#[test]
fn a_wrong_secret_is_refused() {
    for (name, scheme) in signed_schemes() {
        let refused = check_at(scheme, &signed(scheme), NOW, &[OTHER]).unwrap_err();
        assert_eq!(refused, Refusal::Signature, "{name}");
        let refused = check_at(scheme, &signed(scheme), NOW, &[]).unwrap_err();
        assert_eq!(refused, Refusal::Signature, "{name}, without any");
    }
}

#[test]
fn a_header_missing_empty_doubled_or_oversize_is_malformed() {
    for (name, scheme) in signed_schemes() {
        let good = signed(scheme);
        for index in 0..good.headers.len() {
            let (mut missing, mut empty) = (good.clone(), good.clone());
            let (mut doubled, mut oversize) = (good.clone(), good.clone());
            missing.headers.remove(index);
            empty.headers[index].1.clear();
            doubled.headers.push(good.headers[index].clone());
            oversize.headers[index].1 = vec![b'7'; 1100];
            for request in [missing, empty, doubled, oversize] {
                let refused = check(scheme, &request).unwrap_err();
                let header = good.headers[index].0.as_str();
                assert!(
                    matches!(refused, Refusal::Malformed { header: its, .. } if its == header),
                    "{name}: {refused:?} of {header}"
                );
            }
        }
    }
}

#[test]
fn a_timestamp_counts_in_both_directions_and_only_after_the_mac() {
    for (name, scheme) in with_a_timestamp() {
        let at = |seconds: i64| signed_at(scheme, UnixSeconds(NOW.0 + seconds), BODY);
        for inside in [-300, 0, 300] {
            assert!(check(scheme, &at(inside)).is_ok(), "{name}: {inside}");
        }
        for outside in [-301, 301, 302, 100_000] {
            let mut request = at(outside);
            assert_eq!(
                check(scheme, &request).unwrap_err(),
                Refusal::Stale,
                "{name}: {outside}"
            );
            request.body.push(b' ');
            assert_eq!(
                check(scheme, &request).unwrap_err(),
                Refusal::Signature,
                "{name}: {outside}"
            );
        }
    }
}

#[test]
fn a_timestamp_that_is_not_plain_digits_is_malformed() {
    let texts = [
        "NaN",
        "1e9",
        " 17",
        "+17",
        "-17",
        "17.0",
        "0x11",
        "12345678901234567890",
        "1763900000 ",
        "\u{0661}",
    ];
    for (name, scheme) in with_a_timestamp() {
        for text in texts {
            let mut request = signed(scheme);
            let now = NOW.0.to_string();
            for (_, value) in &mut request.headers {
                let old = String::from_utf8(value.clone()).unwrap();
                *value = old.replace(&now, text).into_bytes();
            }
            let refused = check(scheme, &request).unwrap_err();
            assert!(
                matches!(refused, Refusal::Malformed { .. }),
                "{name}: {text}"
            );
        }
    }
}

#[test]
fn the_replay_guard_is_for_what_signs_a_timestamp_and_not_the_id() {
    let guarded: Vec<_> = signed_schemes()
        .into_iter()
        .filter(|(_, scheme)| check(*scheme, &signed(*scheme)).unwrap().digest().is_some())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(guarded, ["spillway"]);
    let settings = "{timestamp}.{body}";
    // Its id is in the body, which is signed.
    assert!(
        check(hmac(settings), &signed(hmac(settings)))
            .unwrap()
            .digest()
            .is_none()
    );
}

#[test]
fn an_id_that_could_be_cut_elsewhere_is_refused_where_it_is_signed() {
    let schemes = [SchemeName::StandardWebhooks, SchemeName::Svix].map(named);
    for scheme in schemes.into_iter().chain([hmac("{id}.{timestamp}.{body}")]) {
        let id = format!("evt.{}", NOW.0);
        let event = ToSign {
            id: &id,
            timestamp: NOW,
            body: BODY,
        };
        let headers = scheme.sign(Some(&key(scheme, SECRET)), &event);
        let request = Request {
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
            body: BODY.to_vec(),
        };
        let refused = check(scheme, &request).unwrap_err();
        assert!(matches!(refused, Refusal::Malformed { .. }), "{refused:?}");
    }
}

#[test]
fn of_several_signatures_any_may_be_right() {
    let spoil = |value: &[u8]| {
        let mut other = value.to_vec();
        let at = other.len() - 5;
        other[at] = if other[at] == b'a' { b'b' } else { b'a' };
        other
    };
    for name in [SchemeName::StandardWebhooks, SchemeName::Svix] {
        let mut request = signed(named(name));
        let good = request.headers[2].1.clone();
        request.headers[2].1 = [b"v1a,AAAA ".to_vec(), spoil(&good), b" ".to_vec(), good].concat();
        assert!(check(named(name), &request).is_ok(), "{name}");
    }
    let stripe = named(SchemeName::Stripe);
    let mut request = signed(stripe);
    let good = request.headers[0].1.clone();
    let (time, signature) = good.split_at(b"t=1763900000".len());
    request.headers[0].1 = [time, &spoil(signature), b",v0=00", signature].concat();
    assert!(check(stripe, &request).is_ok());
    request.headers[0].1 = [time, b",", time, signature].concat();
    assert!(matches!(
        check(stripe, &request).unwrap_err(),
        Refusal::Malformed { .. }
    ));
}

#[test]
fn without_a_signature_only_the_id_is_read() {
    let scheme = named(SchemeName::None);
    let event = ToSign {
        id: ID,
        timestamp: NOW,
        body: BODY,
    };
    let headers = scheme.sign(None, &event);
    assert_eq!(headers, [("x-event-id", ID.to_owned())]);
    let request = Request {
        headers: vec![("X-Event-Id".to_owned(), ID.into())],
        body: b"anything".to_vec(),
    };
    let verified = check_at(scheme, &request, NOW, &[]).unwrap();
    assert_eq!((verified.event_id().as_str(), verified.key()), (ID, None));
    assert!(verified.digest().is_none() && verified.signed_at().is_none());
}

#[test]
fn an_event_without_a_name_goes_by_its_body() {
    let stripe = named(SchemeName::Stripe);
    let id = |body: &[u8]| {
        let verified = check(stripe, &signed_at(stripe, NOW, body)).unwrap();
        verified.event_id().as_str().to_owned()
    };
    assert_eq!(id(b"not json"), id(b"not json"));
    assert_ne!(id(b"not json"), id(b"not json either"));
    assert!(id(b"{}").starts_with("sha256:"));
    assert_eq!(id(br#"{"id":"evt_1"}"#), "evt_1");
}

#[test]
fn a_secret_that_is_not_written_as_its_scheme_writes_them_is_refused() {
    let key = |scheme: SchemeName, text: &str| named(scheme).key(&Secret::new(text).unwrap()).err();
    let standard = SchemeName::StandardWebhooks;
    assert_eq!(key(standard, SECRET), None);
    assert_eq!(key(standard, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), None);
    assert_eq!(
        key(standard, "whsec_not base64 at all!"),
        Some(WeakSecret::NotBase64)
    );
    assert_eq!(
        key(standard, "whsec_MfKQ9r8GKYqr"),
        Some(WeakSecret::TooShort)
    );
    assert_eq!(key(SchemeName::Stripe, "whsec_not base64 at all!"), None);
}

#[test]
fn the_default_schemes_own_signer_agrees_with_the_general_one() {
    let scheme = SchemeName::Spillway.scheme().unwrap();
    let signature = spillway::sign(&key(scheme, SECRET), NOW.0.to_string().as_bytes(), BODY);
    assert_eq!(signed(scheme).headers[2].1, signature.into_bytes());
}

proptest! {
    #[test]
    fn a_body_verifies_if_and_only_if_it_is_what_was_signed(body: Vec<u8>, other: Vec<u8>) {
        for (_, scheme) in signed_schemes() {
            let good = signed_at(scheme, NOW, &body);
            prop_assert!(check(scheme, &good).is_ok());
            let changed = Request { body: other.clone(), ..good };
            prop_assert_eq!(check(scheme, &changed).is_ok(), body == other);
        }
    }

    #[test]
    fn no_header_panics_or_is_let_in(value: Vec<u8>, which in 0usize..3) {
        for (_, scheme) in signed_schemes() {
            let mut request = signed(scheme);
            let signature = request.headers.len() - 1;
            let index = which.min(signature);
            request.headers[index].1 = value.clone();
            // An id that is not signed may be any.
            let refused = check(scheme, &request).is_err();
            prop_assert!(refused || index != signature);
        }
    }
}
