//! `hmac`: an HMAC-SHA256 as the operator describes it, for providers that have no file here.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | a header, or a field of the body, or the hash of the body | as described; in the body, yes |
//! | type | the body | yes |
//! | timestamp | a header, where one is signed | yes |
//!
//! *Replay guard*: where a timestamp is signed and the id is not. Without a signed timestamp a captured request
//! verifies for ever. What separates the pieces in `signed` should be there: in `{timestamp}{body}` a body that
//! begins with digits could be read as a longer timestamp.

use super::Scheme;
use crate::rules::{Encoding, Form, IdFrom, Part, Rules, SecretForm, Signature, TimestampFrom};
use std::time::Duration;

/// The description.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The header of the signature.
    pub signature_header: String,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What stands before it in the header.
    pub prefix: String,
    /// What is signed: text with `{body}`, and where they are signed `{timestamp}` and `{id}`.
    pub signed: String,
    /// The header of the event's id.
    pub id_header: Option<String>,
    /// The field of the body with the event's id.
    pub id_field: Option<String>,
    /// The header of the timestamp.
    pub timestamp_header: Option<String>,
    /// How far the timestamp may be from now.
    pub tolerance: Duration,
    /// How the secrets are written: as they are, unless this says otherwise.
    pub secret_encoding: Option<Encoding>,
}

/// A description that fits no scheme: the key, and the rule it breaks.
pub type Problem = (&'static str, String);

impl Settings {
    /// The scheme they describe.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn scheme(&self) -> Result<Scheme, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut take = |key, read: Result<_, String>| {
            read.map_err(|rule| problems.push((key, rule)))
                .ok()
                .flatten()
        };
        let header = |name: &Option<String>| name.as_deref().map(header_name).transpose();
        let signature = take(
            "signature_header",
            header_name(&self.signature_header).map(Some),
        );
        let id = take("id_header", header(&self.id_header));
        let timestamp = take("timestamp_header", header(&self.timestamp_header));
        let covered = parts(&self.signed);
        problems.extend(self.contradictions(&covered));
        let Some(signature) = signature.filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        Ok(Scheme(Box::leak(Box::new(Rules {
            signature: Some(Signature {
                header: signature,
                form: Form::One {
                    prefix: kept(&self.prefix),
                    encoding: self.encoding,
                },
            }),
            id: match (id, &self.id_field) {
                (Some(name), _) => IdFrom::Header(name),
                (None, Some(field)) => IdFrom::Body(kept(field)),
                (None, None) => IdFrom::BodyHash,
            },
            timestamp: timestamp.map(TimestampFrom::Header),
            covered: Vec::leak(covered),
            tolerance: self.tolerance,
            secret: match self.secret_encoding {
                None => SecretForm::Text,
                Some(Encoding::Hex) => SecretForm::Hex,
                Some(Encoding::Base64) => SecretForm::Base64 { prefix: "" },
            },
        }))))
    }

    fn contradictions(&self, covered: &[Part]) -> Vec<Problem> {
        let times = |part: Part| covered.iter().filter(|its| **its == part).count();
        let (timestamps, ids) = (times(Part::Timestamp), times(Part::Id));
        let table = [
            (
                times(Part::Body) != 1,
                "signed",
                "must have {body} in it, once: a body that is not signed may be anybody's",
            ),
            (
                timestamps > 1 || ids > 1,
                "signed",
                "must have {timestamp} and {id} in it at most once",
            ),
            (
                timestamps == 1 && self.timestamp_header.is_none(),
                "timestamp_header",
                "must name the header of the {timestamp} that is signed",
            ),
            (
                timestamps == 0 && self.timestamp_header.is_some(),
                "timestamp_header",
                "names a timestamp that is not signed, and so says nothing: put {timestamp} into signed",
            ),
            (
                ids == 1 && self.id_header.is_none(),
                "id_header",
                "must name the header of the {id} that is signed",
            ),
            (
                self.id_header.is_some() && self.id_field.is_some(),
                "id_field",
                "is one too many beside id_header",
            ),
        ];
        let broken = table.into_iter().filter(|(is_broken, ..)| *is_broken);
        broken
            .map(|(_, key, rule)| (key, rule.to_owned()))
            .collect()
    }
}

/// Configured once, at the start, and used for as long as the program runs.
fn kept(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

/// RFC 9110 §5.6.2.
fn header_name(name: &str) -> Result<&'static str, String> {
    let of_a_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(of_a_token) {
        return Err(format!(
            "{name:?} is not the name of a header, such as \"X-Signature\""
        ));
    }
    Ok(kept(&name.to_ascii_lowercase()))
}

/// Text between the three names is itself what is signed.
fn parts(signed: &str) -> Vec<Part> {
    const NAMES: [(&str, Part); 3] = [
        ("{body}", Part::Body),
        ("{timestamp}", Part::Timestamp),
        ("{id}", Part::Id),
    ];
    let (mut parts, mut rest) = (Vec::new(), signed);
    while !rest.is_empty() {
        let next = NAMES
            .iter()
            .filter_map(|(name, part)| Some((rest.find(name)?, name.len(), *part)))
            .min_by_key(|(at, ..)| *at);
        let (at, length, part) = match next {
            Some((at, length, part)) => (at, length, Some(part)),
            None => (rest.len(), 0, None),
        };
        if at > 0 {
            parts.push(Part::Literal(kept(&rest[..at])));
        }
        parts.extend(part);
        rest = &rest[at + length..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(signed: &str) -> Settings {
        Settings {
            signature_header: "X-Sig".to_owned(),
            encoding: Encoding::Hex,
            prefix: String::new(),
            signed: signed.to_owned(),
            id_header: Some("X-Id".to_owned()),
            id_field: None,
            timestamp_header: None,
            tolerance: Duration::from_secs(60),
            secret_encoding: None,
        }
    }

    #[test]
    fn what_is_signed_is_read_piece_by_piece() {
        assert_eq!(
            parts("v1:{id}:{timestamp}.{body}{x}"),
            [
                Part::Literal("v1:"),
                Part::Id,
                Part::Literal(":"),
                Part::Timestamp,
                Part::Literal("."),
                Part::Body,
                Part::Literal("{x}"),
            ]
        );
    }

    #[test]
    fn every_contradiction_is_told_at_once() {
        let keys = |settings: Settings| -> Vec<_> {
            let problems = settings.scheme().err().unwrap_or_default();
            problems.into_iter().map(|(key, _)| key).collect()
        };
        assert!(keys(settings("{id}.{body}")).is_empty());
        assert_eq!(keys(settings("nothing")), ["signed"]);
        assert_eq!(keys(settings("{body}{body}")), ["signed"]);
        assert_eq!(keys(settings("{timestamp}{body}")), ["timestamp_header"]);
        let unsigned = Settings {
            timestamp_header: Some("X-Time".to_owned()),
            ..settings("{body}")
        };
        assert_eq!(keys(unsigned), ["timestamp_header"]);
        let many = Settings {
            signature_header: "a b".to_owned(),
            id_header: Some(String::new()),
            id_field: Some("id".to_owned()),
            ..settings("x")
        };
        let all = ["signature_header", "id_header", "signed", "id_field"];
        assert_eq!(keys(many), all);
    }
}
