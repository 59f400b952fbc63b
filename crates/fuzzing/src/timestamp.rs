//! The timestamp of a request, in every spelling.

use envelope::{UnixMicros, UnixSeconds};
use signing::schemes::spillway;
use signing::{Refusal, SchemeName, Secret, SigningKey, TOLERANCE, Verifier, verify};

use crate::Taken;

const BODY: &[u8] = b"{}";

/// Signs any bytes as a timestamp. Twelve digits are one and nothing else is: what is none is malformed before any
/// MAC, and what is one counts to the second, in both directions.
pub fn timestamp(data: &[u8]) -> Taken {
    let secret = Secret::new("a secret that only fuzzing knows").expect("long enough");
    let key = SigningKey::new(&secret);
    let signature = spillway::sign(&key, data, BODY);
    let scheme = SchemeName::Spillway.scheme().expect("has no settings");
    let verifier = Verifier::new(scheme, vec![key]);
    let at = |seconds: i64| {
        let header = |name| {
            std::iter::once(match name {
                spillway::EVENT_ID => b"evt_12345",
                spillway::TIMESTAMP => data,
                _ => signature.as_bytes(),
            })
        };
        verify(&verifier, header, BODY, UnixSeconds(seconds))
    };
    let Some(seconds) = read(data) else {
        let refused = at(0).expect_err("no timestamp is no request");
        let is_told =
            matches!(refused, Refusal::Malformed { header, .. } if header == spillway::TIMESTAMP);
        assert!(is_told, "{refused:?}");
        return false;
    };
    let tolerance = i64::try_from(TOLERANCE.as_secs()).expect("minutes");
    for apart in [-tolerance, 0, tolerance] {
        let verified = at(seconds + apart).expect("fresh, and signed");
        assert_eq!(verified.signed_at(), Some(UnixSeconds(seconds)));
        assert!(verified.digest().is_some());
    }
    for apart in [-tolerance - 1, tolerance + 1] {
        assert_eq!(at(seconds + apart).err(), Some(Refusal::Stale), "{apart}");
    }
    let micros = UnixMicros::from(UnixSeconds(seconds));
    assert_eq!(micros.seconds(), UnixSeconds(seconds));
    true
}

/// The rule in other words than those of the code.
fn read(data: &[u8]) -> Option<i64> {
    if data.is_empty() || data.len() > 12 {
        return None;
    }
    data.iter().try_fold(0, |number, byte| match byte {
        b'0'..=b'9' => Some(number * 10 + i64::from(byte - b'0')),
        _ => None,
    })
}
