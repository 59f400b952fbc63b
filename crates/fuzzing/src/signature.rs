//! A request at the door: headers, an empty line, a body. Read by every scheme.

use std::sync::OnceLock;
use std::time::Duration;

use envelope::UnixSeconds;
use signing::schemes::hmac::Settings;
use signing::{
    Encoding, Refusal, Scheme, SchemeName, Secret, SigningKey, ToSign, Verified, Verifier, verify,
};

use crate::Taken;

/// When it is. The requests of the corpus are signed at this second.
const NOW: UnixSeconds = UnixSeconds(1_763_900_000);
/// What the requests of the corpus are signed with. Good for every scheme: those that decode it read 24 bytes.
const OURS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const THEIRS: &str = "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Has no dot: where an id is signed it is refused with one.
const ID: &str = "evt_12345";

/// Of a MAC as it is written: of 64 hexadecimal digits the greater part, of 44 characters of base64 all but one.
const TAIL_CHARACTERS: usize = 43;

/// Verifies a request by every scheme. It is accepted only where the MAC of its very id, timestamp and body is in
/// it; and beside its headers what we sign is accepted, with its own body and with no other.
pub fn signature(data: &[u8]) -> Taken {
    let request = Request::parse(data);
    let mut taken = false;
    for house in houses() {
        if let Ok(verified) = house.verify(&request, NOW) {
            house.is_right(&request, &verified);
            taken |= house.scheme.is_signed();
        }
        if house.scheme.is_signed() {
            house.signs(&request);
        }
    }
    taken
}

/// What lies between the first lines and the first empty one are headers.
#[derive(Clone)]
struct Request<'d> {
    headers: Vec<(&'d [u8], &'d [u8])>,
    body: &'d [u8],
}

impl<'d> Request<'d> {
    fn parse(data: &'d [u8]) -> Self {
        let mut headers = Vec::new();
        let mut rest = data;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after.get(1..).unwrap_or_default();
            if line.is_empty() {
                break;
            }
            if let Some(at) = line.iter().position(|byte| *byte == b':') {
                let value = &line[at + 1..];
                headers.push((&line[..at], value.strip_prefix(b" ").unwrap_or(value)));
            }
        }
        Self {
            headers,
            body: rest,
        }
    }

    fn values(&self, name: &'static str) -> impl Iterator<Item = &'d [u8]> {
        let is_its = move |header: &&(&[u8], &[u8])| header.0.eq_ignore_ascii_case(name.as_bytes());
        let values: Vec<_> = self
            .headers
            .iter()
            .filter(is_its)
            .map(|its| its.1)
            .collect();
        values.into_iter()
    }
}

/// A scheme with what verifies and signs by it.
struct House {
    scheme: Scheme,
    key: SigningKey,
    ours: Verifier,
    theirs: Verifier,
}

impl House {
    fn new(scheme: Scheme) -> Self {
        let key = |text| {
            let secret = Secret::new(text).expect("long enough");
            scheme.key(&secret).expect("written for every scheme")
        };
        Self {
            scheme,
            key: key(OURS),
            ours: Verifier::new(scheme, vec![key(OURS)]),
            theirs: Verifier::new(scheme, vec![key(THEIRS)]),
        }
    }

    fn verify(&self, request: &Request<'_>, now: UnixSeconds) -> Result<Verified, Refusal> {
        verify(&self.ours, |name| request.values(name), request.body, now)
    }

    /// Of a request that was accepted.
    fn is_right(&self, request: &Request<'_>, verified: &Verified) {
        let name = self.scheme;
        if !self.scheme.is_signed() {
            assert_eq!(verified.key(), None, "{name:?}");
            return;
        }
        assert_eq!(verified.key(), Some(0), "{name:?}");
        let by_them = verify(&self.theirs, |name| request.values(name), request.body, NOW);
        assert_eq!(by_them.err(), Some(Refusal::Signature), "{name:?}");
        if let Some(UnixSeconds(at)) = verified.signed_at() {
            let later = self.verify(request, UnixSeconds(at + 301));
            assert_eq!(later.err(), Some(Refusal::Stale), "{name:?}");
        }
        let to_sign = ToSign {
            id: verified.event_id().as_str(),
            timestamp: verified.signed_at().unwrap_or(NOW),
            body: request.body,
        };
        let headers = self.scheme.sign(Some(&self.key), &to_sign);
        let (header, value) = headers.last().expect("a signature");
        let mac = &value.as_bytes()[value.len() - TAIL_CHARACTERS..];
        // Hexadecimal digits may be of either case.
        let has_it = |value: &[u8]| {
            let mut windows = value.windows(mac.len());
            windows.any(|window| window.eq_ignore_ascii_case(mac))
        };
        let spelled = to_sign.timestamp.0.to_string();
        let is_as_we_spell = |value: &[u8]| {
            let mut windows = value.windows(spelled.len() + 1);
            !windows.any(|window| window[0] == b'0' && window[1..] == *spelled.as_bytes())
        };
        // `0017` is the number 17 and other bytes: the MAC of those is another, and is left to the target
        // `timestamp`.
        let all = request.headers.iter().map(|header| header.1);
        if all.clone().all(is_as_we_spell) {
            let found = request.values(header).any(has_it);
            assert!(found, "{name:?} has let in what was not signed: {header}");
        }
    }

    /// The request's body, signed by us, between its own headers.
    fn signs(&self, request: &Request<'_>) {
        let to_sign = ToSign {
            id: ID,
            timestamp: NOW,
            body: request.body,
        };
        let made = self.scheme.sign(Some(&self.key), &to_sign);
        let read = self.scheme.headers();
        let is_other = |name: &[u8]| {
            !read
                .iter()
                .any(|its| name.eq_ignore_ascii_case(its.as_bytes()))
        };
        let mut headers = request.headers.clone();
        headers.retain(|(name, _)| is_other(name));
        for (name, value) in &made {
            headers.push((name.as_bytes(), value.as_bytes()));
        }
        let signed = Request {
            headers,
            body: request.body,
        };
        let name = self.scheme;
        let verified = self.verify(&signed, NOW);
        assert!(verified.is_ok(), "{name:?}: {verified:?}");
        let mut longer = request.body.to_vec();
        longer.push(0);
        let shorter = &request.body[..request.body.len().saturating_sub(1)];
        for body in [longer.as_slice(), shorter] {
            let spoiled = Request {
                body,
                ..signed.clone()
            };
            let verified = self.verify(&spoiled, NOW);
            assert_eq!(verified.is_ok(), body == request.body, "{name:?}");
        }
    }
}

/// Every scheme, `hmac` in two shapes; made once, since a description of one is never given back.
fn houses() -> &'static [House] {
    static HOUSES: OnceLock<Vec<House>> = OnceLock::new();
    HOUSES.get_or_init(|| {
        let named = SchemeName::ALL.into_iter().filter_map(SchemeName::scheme);
        let described = ["{id}|{timestamp}|{body}", "{body}"].map(hmac);
        named.chain(described).map(House::new).collect()
    })
}

fn hmac(signed: &str) -> Scheme {
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
    settings.scheme().expect("contradicts itself nowhere")
}
