//! The body of each event: as given, and with its id in it.

use anyhow::Context;
use envelope::EventId;
use serde_json::Value;
use std::io::{IsTerminal, Read};
use std::path::Path;

/// What every event's body is made from.
pub(super) struct Template {
    text: Vec<u8>,
    parsed: Option<Value>,
}

impl Template {
    /// From `--data`, `--file`, standard input where something is piped in, else a sample.
    pub(super) fn read(data: Option<&str>, file: Option<&Path>) -> anyhow::Result<Self> {
        let text = match (data, file) {
            (Some(data), _) => data.as_bytes().to_vec(),
            (None, Some(path)) if path == Path::new("-") => standard_input()?,
            (None, Some(path)) => {
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            (None, None) if !std::io::stdin().is_terminal() => standard_input()?,
            (None, None) => Vec::new(),
        };
        // Nothing piped in (cron, a closed standard input) means the sample too.
        Ok(Self::new(if text.is_empty() { sample() } else { text }))
    }

    fn new(text: Vec<u8>) -> Self {
        let parsed = serde_json::from_slice(&text).ok().filter(Value::is_object);
        Self { text, parsed }
    }

    /// The id the body names itself by.
    pub(super) fn own_id(&self) -> Option<String> {
        self.parsed.as_ref()?.get("id")?.as_str().map(str::to_owned)
    }

    /// The body of one event. The id goes into it, so that the signature covers it and two events with
    /// equal contents are not taken for one replayed; a body that is no JSON object is sent as it is.
    pub(super) fn body_for(&self, id: &EventId) -> Vec<u8> {
        let Some(Value::Object(fields)) = &self.parsed else {
            return self.text.clone();
        };
        if let Some(own) = fields.get("id") {
            if own == id.as_str() {
                return self.text.clone();
            }
            let mut fields = fields.clone();
            fields.insert("id".to_owned(), id.as_str().into());
            return Value::Object(fields).to_string().into_bytes();
        }
        let trimmed = self.text.trim_ascii_start();
        let separator = if fields.is_empty() { "" } else { "," };
        let mut body = format!("{{\"id\":{}{separator}", Value::from(id.as_str())).into_bytes();
        body.extend_from_slice(&trimmed[1..]);
        body
    }
}

fn sample() -> Vec<u8> {
    let order = format!("order_{:04}", fastrand::u16(..10_000));
    format!(r#"{{"orderId":"{order}","amount":9999,"status":"completed"}}"#).into_bytes()
}

fn standard_input() -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::io::stdin()
        .read_to_end(&mut text)
        .context("cannot read standard input")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, id: &str) -> String {
        let body = Template::new(text.as_bytes().to_vec()).body_for(&id.parse().unwrap());
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn the_id_is_put_into_the_body_and_the_rest_left_as_it_is() {
        assert_eq!(
            check(r#" {"b": 1, "a":2}"#, "e1"),
            r#"{"id":"e1","b": 1, "a":2}"#
        );
        assert_eq!(check("{}", "e\"1"), r#"{"id":"e\"1"}"#);
        assert_eq!(
            check(r#"{"id":"e1","a": 2}"#, "e1"),
            r#"{"id":"e1","a": 2}"#
        );
        assert_eq!(check(r#"{"id":"other"}"#, "e1"), r#"{"id":"e1"}"#);
    }

    #[test]
    fn what_is_no_object_is_sent_as_it_is() {
        assert_eq!(check("not json", "e1"), "not json");
        assert_eq!(check("[1]", "e1"), "[1]");
    }
}
