//! The database server: its tables, whose turn it is, and what is wrong with it.

use super::faults::{Trouble, Troubles};
use super::tables::Tables;
use crate::books::Books;
use crate::broker::Latency;
use ledger::unknown_outcome;
use resilience::Fault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, timeout};

/// As Postgres is set up: how long a statement waits for another transaction, and the client for an answer.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The database.
#[derive(Debug)]
pub struct Database {
    books: Arc<Books>,
    latency: Latency,
    tables: Mutex<Tables>,
    troubles: Mutex<Troubles>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// An open transaction.
pub(super) struct Turn {
    guard: OwnedMutexGuard<()>,
    trouble: Option<Trouble>,
}

impl Turn {
    /// What this transaction meets.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }
}

impl Database {
    /// An empty one.
    pub fn new(books: Arc<Books>, latency: Latency) -> Arc<Self> {
        Arc::new(Self {
            books,
            latency,
            tables: Mutex::default(),
            troubles: Mutex::default(),
            turn: Arc::default(),
        })
    }

    /// What is written there.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn books(&self) -> &Arc<Books> {
        &self.books
    }

    /// The next transactions meet this, one after the other.
    pub fn trouble(&self, trouble: Trouble, times: u32) {
        let mut troubles = self.troubles();
        (0..times).for_each(|_| troubles.next.push_back(trouble));
    }

    /// Nobody reaches it for so long.
    pub fn go_away(&self, length: Duration) {
        self.troubles().away_until = Some(Instant::now() + length);
    }

    /// Nothing is wrong any more.
    pub fn heal(&self) {
        *self.troubles() = Troubles::default();
    }

    /// Whether it can be reached.
    pub(super) async fn answers(&self) -> Result<(), Fault> {
        self.latency.pass().await;
        let away_until = self.troubles().away_until;
        match away_until {
            Some(until) if Instant::now() < until => {
                Err(Fault::ours("the database cannot be reached"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Begins a transaction, when the one before it has ended.
    pub(super) async fn begin(&self) -> Result<Turn, Fault> {
        self.answers().await?;
        let trouble = self.troubles().next.pop_front();
        if trouble == Some(Trouble::NoConnection) {
            return Err(Fault::ours("the connection is gone"));
        }
        let waiting = self.turn.clone().lock_owned();
        let Ok(guard) = timeout(LOCK_TIMEOUT, waiting).await else {
            return Err(Fault::contention("another transaction is in the way"));
        };
        self.latency.pass().await;
        match trouble {
            Some(Trouble::Contention) => Err(Fault::contention("another writer was first")),
            Some(Trouble::Slow(seconds)) => {
                let slow = sleep(Duration::from_secs(seconds));
                if timeout(ANSWER_TIMEOUT, slow).await.is_err() {
                    return Err(Fault::ours("the database does not answer"));
                }
                Ok(Turn { guard, trouble })
            }
            Some(
                Trouble::NoConnection
                | Trouble::BeforeCommit
                | Trouble::ReplyLost
                | Trouble::CommitLost
                | Trouble::DiesBeforeCommit
                | Trouble::DiesAfterCommit,
            )
            | None => Ok(Turn { guard, trouble }),
        }
    }

    /// Sends COMMIT. From here on it happens, whoever still waits for the answer.
    pub(super) async fn commit<T: Send + 'static>(
        self: &Arc<Self>,
        turn: Turn,
        change: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let Turn { guard, trouble } = turn;
        if trouble == Some(Trouble::BeforeCommit) {
            return Err(Fault::ours("the server ended the session"));
        }
        let database = self.clone();
        let committing = tokio::spawn(async move {
            database.latency.pass().await;
            let is_lost = trouble == Some(Trouble::CommitLost);
            let changed = (!is_lost).then(|| change(&mut database.tables()));
            drop(guard);
            database.latency.pass().await;
            changed
        });
        match (committing.await, trouble) {
            (Ok(Some(changed)), trouble) if trouble != Some(Trouble::ReplyLost) => Ok(changed),
            (Ok(_) | Err(_), _) => Err(unknown_outcome("the connection was cut")),
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
