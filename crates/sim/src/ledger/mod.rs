//! The simulated ledger: one transaction at a time, whose COMMIT may fail, be slow, or lose its answer.
//!
//! What a batch's rows say about its candidates it reads as Postgres does: by the keys its insert returned.

mod commit;
mod database;
mod faults;
mod tables;
mod transaction;

pub use database::Database;
pub use faults::Trouble;
pub use tables::{Processed, Tables};

use crate::cast::Nature;
use database::Turn;
use envelope::{Key, PipelineName};
use ledger::{Candidate, DeadLetter, Found, Handler, Ledger, Verdict};
use resilience::Fault;
use std::fmt;
use std::sync::Arc;

/// A program's way to the database. Cheap to clone.
#[derive(Clone)]
pub struct SimLedger {
    database: Arc<Database>,
    worker: Arc<str>,
    /// What an event does that kills whoever applies it.
    dies: Arc<dyn Fn() + Send + Sync>,
}

impl SimLedger {
    /// The database as this worker reaches it; `dies` ends the worker.
    pub fn new(
        database: Arc<Database>,
        worker: &str,
        dies: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            database,
            worker: worker.into(),
            dies: Arc::new(dies),
        }
    }

    /// The database behind it.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    fn note(&self, what: &str) {
        let books = self.database.books();
        books.note(format_args!("{} {what}", self.worker));
    }

    /// One short transaction.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = self.database.begin().await?;
        self.finish(turn, change).await
    }

    /// COMMIT, unless this worker dies of it or just before.
    async fn finish<T: Send + 'static>(
        &self,
        turn: Turn,
        change: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let trouble = turn.trouble();
        if trouble == Some(Trouble::DiesBeforeCommit) {
            self.die().await;
        }
        let changed = self.database.commit(turn, change).await;
        if trouble == Some(Trouble::DiesAfterCommit) {
            self.die().await;
        }
        changed
    }

    /// Whoever died never comes back.
    async fn die(&self) {
        (self.dies)();
        std::future::pending::<()>().await;
    }
}

impl Ledger for SimLedger {
    async fn commit<H: Handler>(
        &self,
        handler: &H,
        batch: &[Candidate<H::Effect>],
    ) -> Result<Vec<Verdict>, Fault> {
        commit::commit(self, handler, batch).await
    }

    async fn archive(&self, letters: &[DeadLetter]) -> Result<(), Fault> {
        let letters = letters.to_vec();
        self.change(move |tables| letters.into_iter().for_each(|letter| tables.file(letter)))
            .await
    }

    async fn suspect_starts(&self, keys: &[Key]) -> Result<Vec<u32>, Fault> {
        self.database.answers().await?;
        let tables = self.database.tables();
        Ok(keys.iter().map(|key| tables.starts(*key)).collect())
    }

    async fn start_suspect(&self, key: Key, start: u32) -> Result<(), Fault> {
        let (books, worker) = (self.database.books().clone(), self.worker.clone());
        books.suspect_started(&worker, key, start);
        self.change(move |tables| tables.suspects.extend([(key, start)]))
            .await
    }

    async fn clear_suspects(&self, keys: &[Key]) -> Result<(), Fault> {
        let (books, all) = (self.database.books().clone(), keys.to_vec());
        let cleared = self.change(move |tables| {
            for key in all {
                books.suspect_cleared(key);
                tables.suspects.remove(&key);
            }
        });
        for key in keys {
            let books = self.database.books();
            books.suspect_returned(&self.worker, *key);
        }
        cleared.await
    }

    async fn look_up(&self, pipeline: &PipelineName, key: Key) -> Result<Option<Found>, Fault> {
        self.database.answers().await?;
        Ok(self.database.tables().look_up(pipeline, key))
    }

    async fn ping(&self) -> Result<(), Fault> {
        self.database.answers().await
    }
}

impl SimLedger {
    /// What the database makes of an event it is to take, by the event's nature.
    fn refusal(&self, id: &str) -> Option<Fault> {
        let books = self.database.books();
        match books.nature(id) {
            Nature::Refused => Some(Fault::poison(
                resilience::Reason::RefusedByLedger,
                "a value out of range",
            )),
            Nature::Stuck => {
                books.refused_for_now(id);
                Some(Fault::passing("not yet"))
            }
            Nature::Passing(times) if books.refusals(id) < times => {
                books.refused_for_now(id);
                Some(Fault::passing("not yet"))
            }
            Nature::Healthy
            | Nature::NotJson
            | Nature::Passing(_)
            | Nature::Killer
            | Nature::TwoBodies
            | Nature::Replayed
            | Nature::Replay => None,
        }
    }

    fn kills(&self, id: &str) -> bool {
        self.database.books().nature(id) == Nature::Killer
    }
}

impl fmt::Debug for SimLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimLedger({})", self.worker)
    }
}
