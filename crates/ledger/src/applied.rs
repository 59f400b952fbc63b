//! What goes into a commit, and what comes out of it.

use bytes::Bytes;
use envelope::{
    Attempt, BodyHash, EventId, Key, PipelineName, SignatureDigest, SourceName, UnixMicros,
};
use failpoints::{Mutant, mutated};
use resilience::{Fault, Reason};
use std::fmt::Display;

/// Proof that the ledger holds an event: this commit or an earlier one wrote it (I2).
///
/// Made in one place only, [`Applied::by_commit`], which a ledger calls after a COMMIT that returned. A
/// Redis key is no such proof, nor is a claim held by somebody else, nor a COMMIT whose reply was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an event whose proof is dropped is delivered again"]
pub struct Applied(());

impl Applied {
    /// The transaction that holds, or found, the row has been committed. For ledgers alone.
    #[doc(hidden)]
    pub const fn by_commit() -> Self {
        Self(())
    }
}

/// An event that asks to be applied: the row of `processed_webhooks` it will be, and its effect.
#[derive(Clone, Debug)]
pub struct Candidate<E> {
    /// What it is deduplicated by.
    pub key: Key,
    /// The pipeline it is in.
    pub pipeline: PipelineName,
    /// Who sent it.
    pub source: SourceName,
    /// The sender's name for it.
    pub event_id: EventId,
    /// What its signature covered, where that can be replayed under another event id.
    pub signature_digest: Option<SignatureDigest>,
    /// The hash of its body.
    pub body_sha256: BodyHash,
    /// The raw body, kept for audit.
    pub payload: Bytes,
    /// When it was received.
    pub received_at: UnixMicros,
    /// Which try this is.
    pub attempt: Attempt,
    /// What the handler made of the body.
    pub effect: E,
}

/// What the commit found out about one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This commit applied it.
    Applied(Applied),
    /// An earlier commit applied it: same key, same body.
    Duplicate(Applied),
    /// Its key is there with another body. The first one wins, this one is evidence.
    ConflictingBody,
    /// Its key is not there, and what its signature covered is, under another event id.
    ReplayedSignature,
    /// Neither inserted nor found: the row that was in the way has gone again.
    Undecided,
}

/// A COMMIT that was sent and has no answer: it is no proof and no refusal, and only the redelivery finds
/// out (I2). For ledgers alone.
#[doc(hidden)]
pub fn unknown_outcome(why: impl Display) -> Fault {
    let message = format!("the outcome of a commit is unknown: {why}");
    if mutated(Mutant::UnknownCommitIsDead) {
        return Fault::poison(Reason::RefusedByLedger, message);
    }
    Fault::ours(message)
}
