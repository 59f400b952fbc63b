//! The seam: what every ledger does, and what a handler is.

use crate::{Candidate, DeadLetter, OrderChange, Payment, Verdict};
use envelope::{Envelope, Key, PipelineName};
use resilience::Fault;
use std::future::Future;

/// A database that applies events, each at most once.
pub trait Ledger: Clone + Send + Sync + 'static {
    /// Applies a batch in one transaction: inserts the dedupe rows, lets the handler write for those that
    /// were inserted, commits. The verdicts are in the order of `batch`, whose keys all differ.
    ///
    /// An error means that nothing of the batch is known to be applied. That includes a COMMIT whose
    /// reply was lost: it is a fault of ours ([`resilience::Class::Ours`]), since only the redelivery will find out.
    fn commit<H: Handler>(
        &self,
        handler: &H,
        batch: &[Candidate<H::Effect>],
    ) -> impl Future<Output = Result<Vec<Verdict>, Fault>> + Send;

    /// Files dead letters, in one transaction: a letter replaces the one with its (pipeline, key) only if
    /// its `replays` is greater; one whose event (same key, same body) has been applied is `superseded`.
    /// Their starts as suspects are forgotten: whoever replays a letter gives its event a new trial.
    fn archive(&self, letters: &[DeadLetter]) -> impl Future<Output = Result<(), Fault>> + Send;

    /// How often the handler was given each of these suspects without coming back, in the order of `keys`.
    fn suspect_starts(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<u32>, Fault>> + Send;

    /// Writes down, durably, that the handler is about to be given a suspect for the `start`th time. The
    /// number is absolute, so that asking again after a lost answer counts one start and not two.
    fn start_suspect(&self, key: Key, start: u32)
    -> impl Future<Output = Result<(), Fault>> + Send;

    /// Forgets the starts of suspects: the handler has come back from each.
    fn clear_suspects(&self, keys: &[Key]) -> impl Future<Output = Result<(), Fault>> + Send;

    /// What the ledger says of one event; for people who wait for theirs.
    fn look_up(
        &self,
        pipeline: &PipelineName,
        key: Key,
    ) -> impl Future<Output = Result<Option<Found>, Fault>> + Send;

    /// Answers when the database does.
    fn ping(&self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What the ledger says of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has been applied.
    Applied {
        /// From receipt to commit, in microseconds.
        age_micros: i64,
    },
    /// It is a dead letter.
    Dead {
        /// Why, one word.
        reason: String,
        /// Why, for people.
        error: String,
    },
}

/// What a pipeline does with its events.
pub trait Handler: Send + Sync + 'static {
    /// What a body turns into.
    type Effect: Send + Sync;

    /// Reads a body. Pure and without I/O; whatever it refuses is dead at once.
    fn decode(&self, envelope: &Envelope) -> Result<Self::Effect, Fault>;

    /// Whether the body names the event it is in, so that its signature covers the event id too and cannot
    /// be replayed under another.
    fn names_its_event(&self, effect: &Self::Effect) -> bool {
        let _ = effect;
        false
    }

    /// Writes the effects of the events that were inserted, in the transaction that inserted them: both
    /// are committed or neither is.
    fn apply<T: Transaction>(
        &self,
        transaction: &mut T,
        inserted: &[&Candidate<Self::Effect>],
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The open transaction, as far as a handler needs it.
pub trait Transaction: Send {
    /// Appends payments.
    fn append_payments(
        &mut self,
        payments: &[Payment],
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Folds changes into orders. `changes` are ordered by order id, so that two batches that touch the
    /// same orders wait for each other and never deadlock.
    fn fold_orders(
        &mut self,
        changes: &[OrderChange],
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}
