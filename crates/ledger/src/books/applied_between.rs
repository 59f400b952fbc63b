//! What was applied in a window of time.

use envelope::{BodyHash, EventId, Key, PipelineName, SourceName, UnixMicros};

/// From a moment on, until before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment in it.
    pub from: UnixMicros,
    /// The first moment after it.
    pub until: UnixMicros,
}

/// An event that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedEvent {
    /// What it is deduplicated by.
    pub key: Key,
    /// The pipeline it was applied in.
    pub pipeline: PipelineName,
    /// Who sent it.
    pub source: SourceName,
    /// The sender's name for it.
    pub event_id: EventId,
    /// The hash of its body.
    pub body_sha256: BodyHash,
    /// When it was received.
    pub received_at: UnixMicros,
    /// When it was applied.
    pub processed_at: UnixMicros,
}

/// Where a list of applied events goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedCursor {
    /// When the last one was applied.
    pub processed_at: UnixMicros,
    /// Which it was.
    pub key: Key,
}

impl AppliedEvent {
    /// Where a list goes on after this one.
    pub fn cursor(&self) -> AppliedCursor {
        AppliedCursor {
            processed_at: self.processed_at,
            key: self.key,
        }
    }
}
