//! What the books say of one event.

use super::LetterState;
use envelope::{BodyHash, UnixMicros};

/// Whether an event is applied, a letter, both or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its row of `processed_webhooks`.
    pub applied: Option<AppliedRow>,
    /// Its letter: the one that is dead, where several pipelines have filed the same foreign body.
    pub letter: Option<LetterStanding>,
}

/// A row of `processed_webhooks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedRow {
    /// The hash that was written down when it was applied.
    pub body_sha256: BodyHash,
    /// The hash of the payload as it lies there now.
    pub payload_sha256: BodyHash,
    /// When it was received.
    pub received_at: UnixMicros,
    /// When it was applied.
    pub processed_at: UnixMicros,
}

/// How a letter stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterStanding {
    /// What has become of it, as far as it has been written down.
    pub state: LetterState,
    /// How often it has been taken back out.
    pub replays: u32,
    /// Why it died, one word.
    pub reason: String,
    /// The hash of its payload.
    pub body_sha256: BodyHash,
}
