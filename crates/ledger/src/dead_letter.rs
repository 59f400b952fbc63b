//! Dead letters: events that could not be applied, kept where a person can see them.

use bytes::Bytes;
use envelope::{EventId, Key, PipelineName, SourceName, UnixMicros, Wire};

/// One row of `dead_letters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The pipeline it died in; `unrouted` for an event no pipeline takes.
    pub pipeline: PipelineName,
    /// What it is known by: the dedupe key, SHA-256 of the body where our headers are missing, or
    /// [`Key::of_replayed`] for a captured request, all copies of which are one letter.
    pub key: Key,
    /// How often it has been taken back out; a letter with more replaces one with fewer.
    pub replays: u32,
    /// The sender's name for it; nothing where our headers are missing.
    pub event_id: Option<EventId>,
    /// Who sent it; nothing where our headers are missing.
    pub source: Option<SourceName>,
    /// Why, one word.
    pub reason: String,
    /// The class of the last fault.
    pub class: String,
    /// The message of the last fault, without any part of the body.
    pub error: String,
    /// How many tries it had.
    pub attempts: u16,
    /// The raw body.
    pub payload: Bytes,
    /// Properties and headers as they lay on the broker.
    pub headers: Wire,
    /// When it was received.
    pub first_seen: UnixMicros,
    /// When it was archived.
    pub dead_at: UnixMicros,
}

impl DeadLetter {
    /// Properties and headers as they are kept.
    pub(crate) fn headers_json(&self) -> String {
        serde_json::to_string(&self.headers).expect("texts and numbers under text keys are JSON")
    }
}
