//! Why a request is refused, for a person who holds the secret. Never for a sender: it says which part failed.

mod json;

use crate::verify::Claimed;
use crate::{Refusal, Scheme, SchemeName, Secret, SigningKey};
use envelope::UnixSeconds;
use serde_json::Value;
use std::fmt;

/// A request as somebody has kept it.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// Names and values, of every header that was kept.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Captured {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = move |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(named)
            .map(|(_, value)| value.as_bytes())
    }
}

/// What was found, the most telling first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is let in, by the secret of this number.
    Good {
        /// Which of the secrets, counted from 0; nothing where the scheme has none.
        key: Option<usize>,
    },
    /// A header is not there, or not of its form.
    Header {
        /// The header.
        header: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The signature is right, and too old or from the future.
    Skew {
        /// Our clock minus the signed timestamp.
        seconds: i64,
    },
    /// The signature fits the body in another form.
    Reencoded {
        /// What was done to the body after it was signed.
        how: &'static str,
    },
    /// The signature fits a key made from the secret in another way.
    KeyForm {
        /// How the sender made its key.
        how: &'static str,
    },
    /// The request verifies by another scheme.
    OtherScheme(SchemeName),
    /// Nothing fits: another secret, or another body.
    WrongSecret,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good { key: Some(key) } => {
                write!(f, "good: signed with secret {}", key + 1)
            }
            Self::Good { key: None } => f.write_str("good: this scheme signs nothing"),
            Self::Header { header, problem } => write!(f, "header: {header} {problem}"),
            Self::Skew { seconds } if *seconds > 0 => write!(
                f,
                "clock skew: the signature is right, and was made {seconds} s ago: the request was under way for \
                 too long or is replayed, or a clock is wrong"
            ),
            Self::Skew { seconds } => write!(
                f,
                "clock skew: the signature is right, and will be made in {} s: a clock is wrong",
                -seconds
            ),
            Self::Reencoded { how } => write!(
                f,
                "body re-encoded: the signature is right for the body {how}; sign and send the same bytes"
            ),
            Self::KeyForm { how } => {
                write!(f, "key: the signature is right for a key that is {how}")
            }
            Self::OtherScheme(scheme) => {
                write!(f, "scheme: the request is signed as {scheme} does it")
            }
            Self::WrongSecret => f.write_str(
                "wrong secret, or another body: neither these bytes nor a usual re-encoding of them were signed \
                 with it",
            ),
        }
    }
}

/// Explains one request.
///
/// # Errors
/// A secret the scheme cannot use, as a sentence.
pub fn explain(
    scheme: Scheme,
    secrets: &[Secret],
    request: &Captured,
    now: UnixSeconds,
) -> Result<Vec<Finding>, String> {
    let keys: Result<Vec<_>, _> = secrets.iter().map(|secret| scheme.key(secret)).collect();
    let keys = keys.map_err(|why| why.to_string())?;
    let claimed = match read(scheme, request) {
        Ok(claimed) => claimed,
        Err(refusal) => return Ok(malformed(refusal, secrets, request)),
    };
    Ok(match claimed.key(&keys, &request.body) {
        Ok(key) => vec![in_time(&claimed, key, now)],
        Err(_) => mismatch(&claimed, secrets, &keys, request),
    })
}

fn read(scheme: Scheme, request: &Captured) -> Result<Claimed<'_>, Refusal> {
    Claimed::read(scheme.rules(), |name| request.values(name))
}

fn in_time(claimed: &Claimed<'_>, key: Option<usize>, now: UnixSeconds) -> Finding {
    match (claimed.is_fresh(now), claimed.signed_at()) {
        (Err(_), Some(signed_at)) => Finding::Skew {
            seconds: now.0.saturating_sub(signed_at.0),
        },
        _ => Finding::Good { key },
    }
}

fn malformed(refusal: Refusal, secrets: &[Secret], request: &Captured) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Refusal::Malformed { header, problem } = refusal {
        findings.push(Finding::Header { header, problem });
    }
    findings.extend(other_scheme(secrets, request));
    findings
}

fn mismatch(
    claimed: &Claimed<'_>,
    secrets: &[Secret],
    keys: &[SigningKey],
    request: &Captured,
) -> Vec<Finding> {
    let body = request.body.as_slice();
    let fits = |key: &SigningKey, body: &[u8]| claimed.is_signed_by(key, body);
    let reencoded = other_bodies(body)
        .into_iter()
        .find(|(_, other)| keys.iter().any(|key| fits(key, other)))
        .map(|(how, _)| Finding::Reencoded { how });
    let key_form = secrets
        .iter()
        .flat_map(other_keys)
        .find(|(_, key)| fits(key, body))
        .map(|(how, _)| Finding::KeyForm { how });
    let found: Vec<_> = reencoded
        .into_iter()
        .chain(key_form)
        .chain(other_scheme(secrets, request))
        .collect();
    if found.is_empty() {
        return vec![Finding::WrongSecret];
    }
    found
}

/// The body as it may have been before somebody read and wrote it again.
fn other_bodies(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut others = vec![
        ("without its last line end", body.trim_ascii_end().to_vec()),
        ("with a line end after it", [body, b"\n"].concat()),
        ("that is empty", Vec::new()),
    ];
    let Ok(text) = std::str::from_utf8(body) else {
        return others;
    };
    others.push((
        "with LF where it has CR LF",
        text.replace("\r\n", "\n").into(),
    ));
    others.push((
        "with CR LF where it has LF",
        text.replace('\n', "\r\n").into(),
    ));
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let sorted = value.to_string();
        let rewritten = writings(&json::compact(text)).into_iter();
        let of_sorted = [("with its fields in alphabetical order", sorted)];
        let all = rewritten.chain(of_sorted);
        others.extend(all.map(|(how, text)| (how, text.into_bytes())));
    }
    others
}

/// How writers of JSON write the same: most differ in spaces, and in which letters they escape.
fn writings(text: &str) -> Vec<(&'static str, String)> {
    let plain = json::unescaped(text);
    let (ascii, spaced) = (json::escaped(&plain), json::spaced(&plain));
    vec![
        ("without spaces in its JSON", text.to_owned()),
        (
            "with spaces in its JSON, as Python writes it",
            json::spaced(text),
        ),
        (
            "with spaces in its JSON, and other letters than ASCII escaped, as Python writes it",
            json::escaped(&spaced),
        ),
        (
            "with slashes and other letters than ASCII escaped, as PHP writes it",
            json::slashed(&ascii),
        ),
        ("with slashes escaped", json::slashed(&plain)),
        ("with other letters than ASCII escaped", ascii),
        ("with its JSON on many lines", json::indented(text)),
        ("with no letter escaped, and spaces in its JSON", spaced),
        ("with no letter escaped", plain),
    ]
}

/// The keys a sender may have made of the same text by mistake.
fn other_keys(secret: &Secret) -> Vec<(&'static str, SigningKey)> {
    use crate::rules::SecretForm::{Base64, Hex, Text};
    let forms = [
        ("the secret as it stands, whsec_ included", Text),
        (
            "what the secret is as base64, without whsec_",
            Base64 { prefix: "whsec_" },
        ),
        ("what the secret is as hexadecimal", Hex),
    ];
    let bare = secret.bytes().strip_prefix(b"whsec_".as_slice());
    let bare = bare.and_then(|text| SigningKey::of_bytes(text).ok());
    let mut keys: Vec<_> = forms
        .into_iter()
        .filter_map(|(how, form)| Some((how, form.key(secret.bytes()).ok()?)))
        .collect();
    keys.extend(bare.map(|key| ("the text of the secret after whsec_", key)));
    keys
}

fn other_scheme(secrets: &[Secret], request: &Captured) -> Option<Finding> {
    let fits = |name: &SchemeName| {
        let Some(scheme) = name.scheme().filter(|scheme| scheme.is_signed()) else {
            return false;
        };
        let Ok(claimed) = read(scheme, request) else {
            return false;
        };
        let mut keys = secrets.iter().filter_map(|secret| scheme.key(secret).ok());
        keys.any(|key| claimed.is_signed_by(&key, &request.body))
    };
    let found = SchemeName::ALL.into_iter().find(fits);
    found.map(Finding::OtherScheme)
}
