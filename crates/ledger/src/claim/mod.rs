//! Claims in Redis: who is at work on an event, and what was applied lately. A hint, never a proof (I4).
//!
//! Stub: the real one follows.

use envelope::Key;

/// What Redis says about an event somebody wants to work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours to work on: nobody else holds it, or we already did.
    Granted,
    /// It was applied lately. The row has the last word: process it all the same, the ledger finds the
    /// duplicate.
    AlreadyApplied,
    /// Somebody else is at work on it.
    HeldElsewhere,
    /// Redis did not say in time, or there is none: go on without.
    Unknown,
}

/// Access to Redis, or to nothing. Every call is bounded to 50 ms and none fails. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recall;

impl Recall {
    /// Claims events for `worker` for ten seconds, in one round trip; in the order of `keys`.
    pub async fn claim(&self, worker: &str, keys: &[Key]) -> Vec<Claimed> {
        let _ = worker;
        vec![Claimed::Unknown; keys.len()]
    }

    /// Remembers events as applied, for as long as a storm of duplicates lasts (15 minutes). After the
    /// commit, never before (I7).
    pub async fn remember(&self, keys: &[Key]) {
        let _ = keys;
    }

    /// Gives up those claims that are still ours.
    pub async fn release(&self, worker: &str, keys: &[Key]) {
        let _ = (worker, keys);
    }
}
