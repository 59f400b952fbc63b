//! The event's name where it stands in the body and nowhere else.
//!
//! The body is read only after its signature was found right, and only for this one field: what else is in it
//! is the worker's business.

use envelope::{BodyHash, EventId};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The field of this name, where the body is a JSON object that has it once, as text or as a number that would
/// do as an event id.
pub(crate) fn field(body: &[u8], name: &'static str) -> Option<EventId> {
    let mut reader = Deserializer::from_slice(body);
    let found = reader.deserialize_map(Field(name)).ok()?;
    reader.end().ok()?;
    found?.parse().ok()
}

/// The name of an event whose body has none: the same for the same body.
pub(crate) fn hash(body: &[u8]) -> EventId {
    let name = format!("sha256:{}", BodyHash::of(body));
    name.parse().expect("71 visible characters")
}

struct Field(&'static str);

impl<'de> Visitor<'de> for Field {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut times) = (None, 0);
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == self.0 {
                found = text_of(map.next_value::<&RawValue>()?);
                times += 1;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        // There twice, readers disagree about which one it is.
        Ok(found.filter(|_| times == 1))
    }
}

fn text_of(value: &RawValue) -> Option<String> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok(),
        b'0'..=b'9' => Some(text.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> Option<String> {
        field(body.as_bytes(), "id").map(|id| id.as_str().to_owned())
    }

    #[test]
    fn the_field_is_found_at_the_top_and_nowhere_else() {
        for (body, id) in [
            (
                r#"{"a":{"id":"inner"},"id":"evt_1","b":[1]}"#,
                Some("evt_1"),
            ),
            (r#" {"\u0069d" : "evt_\u0031" } "#, Some("evt_1")),
            (r#"{"id":820982911946154508}"#, Some("820982911946154508")),
            (r#"{"a":{"id":"inner"}}"#, None),
            (r#"{"id":"a","id":"b"}"#, None),
            (r#"{"id":"with space"}"#, None),
            (r#"{"id":null}"#, None),
            (r#"{"id":["a"]}"#, None),
            (r#"{"id":"a"} {}"#, None),
            (r#"[{"id":"a"}]"#, None),
            ("not json", None),
            ("", None),
        ] {
            assert_eq!(check(body).as_deref(), id, "{body}");
        }
    }

    #[test]
    fn a_deep_body_does_not_overflow_the_stack() {
        let deep = format!(r#"{{"a":{},"id":"evt_1"}}"#, "[".repeat(100_000));
        assert_eq!(check(&deep), None);
        let closed = format!(
            r#"{{"a":{}{},"id":"evt_1"}}"#,
            "[".repeat(9_000),
            "]".repeat(9_000)
        );
        // Read or refused, the program stands.
        let _ = check(&closed);
    }

    #[test]
    fn without_one_the_same_body_has_the_same_name() {
        assert_eq!(hash(b"a"), hash(b"a"));
        assert_ne!(hash(b"a"), hash(b"b"));
    }
}
