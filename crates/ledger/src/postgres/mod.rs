//! The ledger of a cluster, in Postgres.
//!
//! Durability: an event is acked on this COMMIT, so `synchronous_commit` has to be on (the server's
//! default, which we leave alone), and where a failover must not lose one, `synchronous_standby_names`
//! has to name a standby. We cannot see whether that is so; the operator decides.

mod archive;
mod books;
mod commit;
mod connect;
mod fault;
mod look_up;
mod migrate;
mod session;
mod suspects;
mod timestamp;
mod transaction;

use crate::{Candidate, DeadLetter, Found, Handler, Ledger, LedgerSettings, StartError, Verdict};
use envelope::{Key, PipelineName};
use resilience::Fault;
use session::Sessions;
use std::sync::Arc;

/// The ledger in Postgres. Cheap to clone: all clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct PostgresLedger {
    sessions: Sessions,
    worker: Arc<str>,
}

impl PostgresLedger {
    /// Takes `postgres://user:password@host:port/database` and makes ready to connect.
    ///
    /// No connection is made yet, so a database that is away is no error here: a worker waits for its
    /// database. [`PostgresLedger::migrate`] is the first call that needs it.
    ///
    /// `options=-c …` in the URL wins over the session settings of [`LedgerSettings`].
    pub async fn connect(url: &str, settings: LedgerSettings) -> Result<Self, StartError> {
        let config = connect::config(url, &settings)?;
        Ok(Self {
            sessions: Sessions::new(config, &settings)?,
            worker: settings.worker.into(),
        })
    }

    /// Brings the schema to this program's version. Any number of workers may call it at once: they take
    /// turns, and the first does the work.
    ///
    /// [`StartError::Away`] is worth another try, later; every other error needs a person.
    pub async fn migrate(&self) -> Result<(), StartError> {
        migrate::migrate(self.sessions.config()).await
    }

    /// Whether the schema is this program's, for programs that leave migrating to others.
    pub async fn check_schema(&self) -> Result<(), StartError> {
        migrate::check(self.sessions.config()).await
    }
}

impl Ledger for PostgresLedger {
    async fn commit<H: Handler>(
        &self,
        handler: &H,
        batch: &[Candidate<H::Effect>],
    ) -> Result<Vec<Verdict>, Fault> {
        let session = self.sessions.open().await?;
        let committed = commit::commit(&session, &self.worker, handler, batch);
        let outcome = self.sessions.bounded(committed).await;
        session.end(outcome).await
    }

    async fn archive(&self, letters: &[DeadLetter]) -> Result<(), Fault> {
        let session = self.sessions.open().await?;
        let archived = archive::archive(&session, letters);
        let outcome = self.sessions.bounded(archived).await;
        session.end(outcome).await
    }

    async fn suspect_starts(&self, keys: &[Key]) -> Result<Vec<u32>, Fault> {
        let session = self.sessions.open().await?;
        let outcome = self
            .sessions
            .bounded(suspects::starts(&session, keys))
            .await;
        session.end(outcome).await
    }

    async fn start_suspect(&self, key: Key, start: u32) -> Result<(), Fault> {
        let session = self.sessions.open().await?;
        let started = suspects::start(&session, key, start);
        let outcome = self.sessions.bounded(started).await;
        session.end(outcome).await
    }

    async fn clear_suspects(&self, keys: &[Key]) -> Result<(), Fault> {
        let session = self.sessions.open().await?;
        let outcome = self.sessions.bounded(suspects::clear(&session, keys)).await;
        session.end(outcome).await
    }

    async fn look_up(&self, pipeline: &PipelineName, key: Key) -> Result<Option<Found>, Fault> {
        let session = self.sessions.open().await?;
        let found = look_up::look_up(&session, pipeline, key);
        let outcome = self.sessions.bounded(found).await;
        session.end(outcome).await
    }

    async fn ping(&self) -> Result<(), Fault> {
        let session = self.sessions.open().await?;
        let answered = look_up::ping(&session);
        let outcome = self.sessions.bounded(answered).await;
        session.end(outcome).await
    }
}
