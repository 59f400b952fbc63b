//! The envelope: an event as it lies on the broker.

use crate::{
    ContentType, ErrorText, EventId, Key, PipelineName, SignatureDigest, SourceName, TraceParent,
    UnixMicros, UnixSeconds,
};
use bytes::Bytes;
use std::num::NonZeroU16;

/// An event on its way: the raw body, byte for byte as it was signed, and what we know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The sender's name for the event.
    pub event_id: EventId,
    /// Who sent it.
    pub source: SourceName,
    /// The request body as received; never parsed before the worker.
    pub body: Bytes,
    /// The media type the sender named.
    pub content_type: Option<ContentType>,
    /// When the last byte of the request had arrived.
    pub received_at: UnixMicros,
    /// The signed timestamp, where the scheme signs one.
    pub signed_at: Option<UnixSeconds>,
    /// What the signature covered, where it covers a timestamp and not the event id.
    pub signature_digest: Option<SignatureDigest>,
    /// Which try this is; 1 is the first.
    pub attempt: Attempt,
    /// How often the event was set aside without spending an attempt.
    pub parked: u32,
    /// How often a person took it back out of the dead letters or the journal.
    pub replays: u32,
    /// Why it was sent back or given up, where it was.
    pub note: Option<DeadLetterNote>,
    /// The trace the sender's request belongs to.
    pub traceparent: Option<TraceParent>,
}

/// Why the last attempt failed: `x-error-class`, `x-error-reason` and `x-error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterNote {
    /// The class of the fault, a word of the disposition table: `poison`, `passing`, ….
    pub class: String,
    /// The reason, a word for people and metrics: `not_json`, `conflicting_body`, ….
    pub reason: String,
    /// The message, without any part of a body (I9).
    pub error: ErrorText,
}

/// Which try a delivery is. Starts at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(NonZeroU16);

impl Attempt {
    /// The first try.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// The attempt with this number; nothing for zero.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// The one after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number, from 1.
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

impl Envelope {
    /// What the event is deduplicated by in a pipeline.
    pub fn key(&self, pipeline: &PipelineName) -> Key {
        Key::of(pipeline, &self.source, &self.event_id)
    }
}
