//! What goes wrong with a transaction.

use std::collections::VecDeque;
use tokio::time::Instant;

/// What the next transactions meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is gone before anything is sent.
    NoConnection,
    /// The server ends the session before COMMIT: nothing is applied.
    BeforeCommit,
    /// COMMIT is done, and its answer is lost.
    ReplyLost,
    /// COMMIT is lost on the way, which looks the same.
    CommitLost,
    /// Another writer is in the way.
    Contention,
    /// The server stops to answer for so many seconds with the transaction open.
    Slow(u64),
    /// The worker dies before it sends COMMIT.
    DiesBeforeCommit,
    /// COMMIT is done, and the worker dies before it hears so.
    DiesAfterCommit,
}

#[derive(Debug, Default)]
pub(super) struct Troubles {
    pub(super) next: VecDeque<Trouble>,
    pub(super) away_until: Option<Instant>,
}
