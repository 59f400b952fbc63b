//! The verdict on one request.

use crate::rules::{Form, IdFrom, Part, Rules, Signature, TimestampFrom, pairs};
use crate::{Scheme, SigningKey};
use arc_swap::ArcSwap;
use envelope::{EventId, SignatureDigest, UnixSeconds};
use std::sync::Arc;

/// Every header but that of the signature: an event id's 255 bytes are the most.
const HEADER_MAX_BYTES: usize = 255;
/// The header of the signature: of the longest, those of Standard Webhooks and Stripe, it holds some twenty
/// signatures, and each of them costs one comparison.
const SIGNATURE_MAX_BYTES: usize = 1024;

/// What a source verifies with: its scheme, and the keys of its secrets.
///
/// The keys may be replaced at any moment; a request sees all the old ones or all the new ones.
#[derive(Debug)]
pub struct Verifier {
    scheme: Scheme,
    keys: ArcSwap<Vec<SigningKey>>,
}

impl Verifier {
    /// A verifier. Any of the keys will do.
    pub fn new(scheme: Scheme, keys: Vec<SigningKey>) -> Self {
        Self {
            scheme,
            keys: ArcSwap::from_pointee(keys),
        }
    }

    /// Verifies with these keys from now on.
    pub fn rotate(&self, keys: Vec<SigningKey>) {
        self.keys.store(Arc::new(keys));
    }

    /// How its requests are signed.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The keys of now.
    pub fn keys(&self) -> Arc<Vec<SigningKey>> {
        self.keys.load_full()
    }
}

/// A request whose signature was checked. Only [`verify`] makes one, and only it can be sealed into an
/// envelope.
#[derive(Debug)]
pub struct Verified {
    event_id: EventId,
    signed_at: Option<UnixSeconds>,
    digest: Option<SignatureDigest>,
    key: Option<usize>,
}

impl Verified {
    /// The sender's name for the event.
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// When the sender signed, where the scheme signs that.
    pub fn signed_at(&self) -> Option<UnixSeconds> {
        self.signed_at
    }

    /// What the signature covered, in short, where the replay guard needs it: where that is a timestamp and not
    /// the event's id.
    pub fn digest(&self) -> Option<SignatureDigest> {
        self.digest
    }

    /// Which of the keys it was, counted from 0; nothing where the scheme has none.
    pub fn key(&self) -> Option<usize> {
        self.key
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

/// Verifies a request against any of a source's keys.
///
/// `header` gives all values of a header. The order is fixed: form (400), then the MAC, and the clock last,
/// so that only a sender who knows the secret learns what time it is here.
///
/// # Errors
/// The refusal, by the answer it gets.
pub fn verify<'h, I>(
    verifier: &Verifier,
    header: impl Fn(&'static str) -> I,
    body: &[u8],
    now: UnixSeconds,
) -> Result<Verified, Refusal>
where
    I: Iterator<Item = &'h [u8]>,
{
    let rules = verifier.scheme.rules();
    let claimed = Claimed::read(rules, header)?;
    let key = claimed.key(&verifier.keys.load(), body)?;
    claimed.is_fresh(now)?;
    Ok(claimed.verified(key, body))
}

/// What a request says of itself, in the right form and not yet believed.
#[derive(Debug)]
pub(crate) struct Claimed<'h> {
    rules: &'static Rules,
    /// With the form it is written in.
    signature: Option<(&'static Form, &'h [u8])>,
    /// As text, since that is what the signature covers, and as a number.
    timestamp: Option<(&'h [u8], UnixSeconds)>,
    id: Option<EventId>,
}

impl<'h> Claimed<'h> {
    /// Reads the headers of a scheme: each there once, of the right form, and not too long.
    pub(crate) fn read<I>(
        rules: &'static Rules,
        header: impl Fn(&'static str) -> I,
    ) -> Result<Self, Refusal>
    where
        I: Iterator<Item = &'h [u8]>,
    {
        let id = match rules.id {
            IdFrom::Header(name) => {
                let value = single(name, header(name), HEADER_MAX_BYTES)?;
                Some(event_id(rules, name, value)?)
            }
            IdFrom::Body(_) | IdFrom::BodyHash => None,
        };
        let signature = match &rules.signature {
            Some(Signature { header: name, form }) => {
                let value = single(name, header(name), SIGNATURE_MAX_BYTES)?;
                Some((*name, form, value))
            }
            None => None,
        };
        let timestamp = match (&rules.timestamp, signature) {
            (Some(TimestampFrom::Header(name)), _) => {
                let value = single(name, header(name), HEADER_MAX_BYTES)?;
                Some(timestamp(name, value)?)
            }
            (Some(TimestampFrom::Signature), Some((name, _, value))) => {
                Some(timestamp(name, only(name, pairs(value, b"t"))?)?)
            }
            (Some(TimestampFrom::Signature), None) | (None, _) => None,
        };
        Ok(Self {
            rules,
            signature: signature.map(|(_, form, value)| (form, value)),
            timestamp,
            id,
        })
    }

    /// Which key made the signature; nothing where the scheme has none.
    pub(crate) fn key(&self, keys: &[SigningKey], body: &[u8]) -> Result<Option<usize>, Refusal> {
        if self.signature.is_none() {
            return Ok(None);
        }
        let by = |key: &SigningKey| self.is_signed_by(key, body);
        match keys.iter().position(by) {
            Some(index) => Ok(Some(index)),
            None => Err(Refusal::Signature),
        }
    }

    /// Whether a key made one of the signatures; constant-time in each comparison.
    pub(crate) fn is_signed_by(&self, key: &SigningKey, body: &[u8]) -> bool {
        self.signature.is_some_and(|(form, value)| {
            let is_made = key.checker(self.covered(body));
            form.any(value, is_made)
        })
    }

    /// Checked last: what time it is here is for those who know the secret.
    pub(crate) fn is_fresh(&self, now: UnixSeconds) -> Result<(), Refusal> {
        match self.timestamp {
            Some((_, signed_at)) if signed_at.abs_diff(now) > self.rules.tolerance => {
                Err(Refusal::Stale)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn verified(self, key: Option<usize>, body: &[u8]) -> Verified {
        let guarded = self.rules.needs_replay_guard();
        // Over what the MAC covers, not over the header, which has many spellings of one signature.
        let digest = guarded.then(|| SignatureDigest::of(&self.covered(body).collect::<Vec<_>>()));
        Verified {
            signed_at: self.signed_at(),
            event_id: self.id.unwrap_or_else(|| self.rules.id.read_from(body)),
            digest,
            key,
        }
    }

    pub(crate) fn signed_at(&self) -> Option<UnixSeconds> {
        self.timestamp.map(|(_, signed_at)| signed_at)
    }

    /// What the signature covers, piece by piece, so that no body is copied.
    pub(crate) fn covered<'b>(&'b self, body: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        self.rules.covered.iter().map(move |part| match part {
            Part::Literal(text) => text.as_bytes(),
            Part::Id => self
                .id
                .as_ref()
                .map_or(&[][..], |id| id.as_str().as_bytes()),
            Part::Timestamp => self.timestamp.map_or(&[][..], |(text, _)| text),
            Part::Body => body,
        })
    }
}

fn event_id(rules: &Rules, name: &'static str, value: &[u8]) -> Result<EventId, Refusal> {
    let problem = "must be 1 to 255 visible ASCII characters";
    let id = EventId::from_bytes(value).map_err(|_| malformed(name, problem))?;
    // With the separator in it, what is signed could be cut into another id and another body.
    match rules.separator_after_id() {
        Some(separator) if id.as_str().contains(separator) => Err(malformed(
            name,
            "must not contain what separates it from the timestamp",
        )),
        Some(_) | None => Ok(id),
    }
}

/// Strict: `parse` alone would take a sign, and twenty digits overflow into somebody's past.
fn timestamp<'v>(name: &'static str, value: &'v [u8]) -> Result<(&'v [u8], UnixSeconds), Refusal> {
    let digits = (1..=12).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    match text.and_then(|text| text.parse().ok()) {
        Some(seconds) => Ok((value, UnixSeconds(seconds))),
        None => Err(malformed(name, "must have unix seconds: 1 to 12 digits")),
    }
}

fn single<'h>(
    name: &'static str,
    values: impl Iterator<Item = &'h [u8]>,
    max_bytes: usize,
) -> Result<&'h [u8], Refusal> {
    match only(name, values)? {
        [] => Err(malformed(name, "is empty")),
        value if value.len() > max_bytes => Err(malformed(name, "is too long")),
        value => Ok(value),
    }
}

fn only<'h>(
    name: &'static str,
    mut values: impl Iterator<Item = &'h [u8]>,
) -> Result<&'h [u8], Refusal> {
    match (values.next(), values.next()) {
        (None, _) => Err(malformed(name, "is missing")),
        (Some(_), Some(_)) => Err(malformed(name, "is there more than once")),
        (Some(value), None) => Ok(value),
    }
}

fn malformed(header: &'static str, problem: &'static str) -> Refusal {
    Refusal::Malformed { header, problem }
}
