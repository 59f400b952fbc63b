//! One request, byte for byte.

use crate::mix::Kind;
use envelope::UnixSeconds;
use signing::{Scheme, SigningKey, ToSign};
use std::io::Write;

/// Makes requests: everything that is the same in all of them is made once.
#[derive(Debug)]
pub struct Maker {
    scheme: Scheme,
    head: Vec<u8>,
    names: Names,
    keys: Keys,
    orders: u64,
    padding: Vec<u8>,
}

/// What requests are signed with; nothing where the scheme signs nothing.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The door's.
    pub honest: Option<SigningKey>,
    /// Nobody's: what is signed with it has to be refused.
    pub forged: Option<SigningKey>,
}

/// The names of one run's events and orders.
///
/// Letters and digits only, and numbers of one width: whatever order a database keeps texts in, these are in the
/// order of their numbers.
#[derive(Clone, Debug)]
pub struct Names {
    run: String,
}

/// Numbers have this many digits.
const DIGITS: usize = 9;
/// More events no run has.
pub(crate) const EVENTS_MOST: u64 = 1_000_000_000;

impl Names {
    /// For the run of this seed.
    pub fn of(seed: u64) -> Self {
        Self {
            run: format!("lt{:08x}", seed as u32),
        }
    }

    /// What all of this run's events begin with.
    pub fn events(&self) -> String {
        format!("{}n", self.run)
    }

    /// What all of this run's orders begin with.
    pub fn orders(&self) -> String {
        format!("{}o", self.run)
    }

    /// The id of an event.
    pub fn event(&self, number: u64) -> String {
        format!("{}n{number:0DIGITS$}", self.run)
    }

    /// Which event of this run it is, where it is one.
    pub fn number(&self, id: &str) -> Option<u64> {
        let digits = id.strip_prefix(&self.run)?.strip_prefix('n')?;
        (digits.len() == DIGITS).then(|| digits.parse().ok())?
    }
}

/// What the amounts of a run are made from: they differ from event to event, so that in a sum a lost one and a
/// doubled one do not cancel each other out.
pub fn amount(number: u64) -> u64 {
    number % 9_973 + 1
}

impl Maker {
    /// For one door and one run.
    pub fn new(
        scheme: Scheme,
        host: &str,
        path: &str,
        names: Names,
        keys: Keys,
        orders: u64,
        large_bytes: usize,
    ) -> Self {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n");
        Self {
            scheme,
            head: head.into_bytes(),
            names,
            keys,
            orders,
            padding: vec![b'x'; large_bytes],
        }
    }

    /// Writes the request for an event into `request`, using `body` on the way; both are cleared before.
    pub fn write(
        &self,
        event: u64,
        kind: Kind,
        unix_seconds: u64,
        body: &mut Vec<u8>,
        request: &mut Vec<u8>,
    ) {
        body.clear();
        self.body(event, kind, body);
        request.clear();
        request.extend_from_slice(&self.head);
        let key = match kind {
            Kind::Forged => &self.keys.forged,
            Kind::Payment | Kind::Large | Kind::Poison => &self.keys.honest,
        };
        let to_sign = ToSign {
            id: &self.names.event(event),
            timestamp: UnixSeconds(unix_seconds.cast_signed()),
            body,
        };
        for (name, value) in self.scheme.sign(key.as_ref(), &to_sign) {
            for piece in [name, ": ", &value, "\r\n"] {
                request.extend_from_slice(piece.as_bytes());
            }
        }
        let written = write!(request, "content-length: {}\r\n\r\n", body.len());
        written.expect("memory takes everything");
        request.extend_from_slice(body);
    }

    /// Whether the door knows such an event by the id we gave it: some schemes have it in the body, and some make
    /// one of the body.
    pub fn is_known_by_its_name(&self, kind: Kind) -> bool {
        let mut body = Vec::new();
        self.body(0, kind, &mut body);
        let name = self.names.event(0).parse();
        name.is_ok_and(|name| self.scheme.known_as(&name, &body) == name)
    }

    /// The id is in it, so that the signature covers the id.
    fn body(&self, event: u64, kind: Kind, body: &mut Vec<u8>) {
        let (run, order, amount) = (&self.names.run, event % self.orders, amount(event));
        let written = match kind {
            Kind::Poison => write!(body, "poison {run}n{event:0DIGITS$}"),
            Kind::Payment | Kind::Large | Kind::Forged => write!(
                body,
                r#"{{"id":"{run}n{event:0DIGITS$}","type":"payment.completed","orderId":"{run}o{order:06}","amount":{amount},"currency":"EUR","status":"completed""#
            ),
        };
        let written = written.and_then(|()| match kind {
            Kind::Poison => Ok(()),
            Kind::Payment | Kind::Forged => body.write_all(b"}"),
            Kind::Large => body
                .write_all(br#","note":""#)
                .and_then(|()| body.write_all(&self.padding))
                .and_then(|()| body.write_all(br#""}"#)),
        });
        written.expect("memory takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signing::{Refusal, SchemeName, Secret, Verifier, verify};

    const NOW: u64 = 1_763_900_000;

    fn key(text: &str) -> SigningKey {
        SigningKey::new(&Secret::new(text).unwrap())
    }

    /// What the door would say to it, and the body.
    fn check(kind: Kind) -> (Result<String, Refusal>, String) {
        let (ours, theirs) = (key("the secret of the door"), key("the secret of nobody"));
        let keys = Keys {
            honest: Some(ours.clone()),
            forged: Some(theirs),
        };
        let scheme = SchemeName::Spillway.scheme().unwrap();
        let names = Names::of(0xabcdef01);
        let maker = Maker::new(scheme, "door:80", "/webhook", names, keys, 100, 1_000);
        let (mut body, mut request) = (Vec::new(), b"what was there".to_vec());
        maker.write(12_345, kind, NOW, &mut body, &mut request);
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Request::new(&mut headers);
        let length = head.parse(&request).unwrap().unwrap();
        assert_eq!((head.method, head.path), (Some("POST"), Some("/webhook")));
        let value = |name: &'static str| {
            let found = head
                .headers
                .iter()
                .filter(move |header| header.name == name);
            found
                .map(|header| header.value)
                .collect::<Vec<_>>()
                .into_iter()
        };
        assert_eq!(
            value("content-length").next().unwrap(),
            (request.len() - length).to_string().as_bytes()
        );
        let body = &request[length..];
        let verifier = Verifier::new(scheme, vec![ours]);
        let verdict = verify(&verifier, value, body, UnixSeconds(NOW as i64));
        (
            verdict.map(|verified| verified.event_id().to_string()),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[test]
    fn a_payment_is_one_the_door_and_the_handler_take() {
        let (verdict, body) = check(Kind::Payment);
        assert_eq!(verdict, Ok("ltabcdef01n000012345".to_owned()));
        assert_eq!(
            body,
            r#"{"id":"ltabcdef01n000012345","type":"payment.completed","orderId":"ltabcdef01o000045","amount":2373,"currency":"EUR","status":"completed"}"#
        );
    }

    #[test]
    fn each_kind_is_what_its_name_says() {
        let (verdict, body) = check(Kind::Forged);
        assert_eq!(verdict, Err(Refusal::Signature));
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        let (verdict, body) = check(Kind::Poison);
        assert!(verdict.is_ok() && serde_json::from_str::<serde_json::Value>(&body).is_err());
        let (verdict, body) = check(Kind::Large);
        assert!(verdict.is_ok() && body.len() > 1_000);
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn a_name_gives_its_number_back_and_a_strange_one_none() {
        let names = Names::of(1);
        assert_eq!(names.number(&names.event(1_499_999)), Some(1_499_999));
        for strange in [
            "",
            "lt00000001n",
            "lt00000001n1",
            "lt00000001n00000000a",
            "lt00000002n000000001",
        ] {
            assert_eq!(names.number(strange), None, "{strange}");
        }
        assert!(names.event(9) < names.event(10) && names.events() < names.event(0));
    }
}
