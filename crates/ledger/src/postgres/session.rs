//! Sessions: connections lent for one transaction each.

use super::fault;
use crate::{LedgerSettings, StartError};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use resilience::{Class, Fault};
use std::future::Future;
use std::ops::Deref;
use std::time::Duration;
use tokio_postgres::{Config, NoTls, Statement};

/// How long a session that failed may take to roll back before it is closed instead.
const ROLLBACK_WAIT: Duration = Duration::from_secs(1);

/// The pool.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    pool: Pool,
    config: Config,
    answer_timeout: Duration,
}

impl Sessions {
    pub(super) fn new(config: Config, settings: &LedgerSettings) -> Result<Self, StartError> {
        // Fast: a connection comes back only once its transaction is known to have ended (see `Session`),
        // so there is nothing to clean, and a statement before every batch would be a round trip.
        let recycling_method = RecyclingMethod::Fast;
        let manager =
            Manager::from_config(config.clone(), NoTls, ManagerConfig { recycling_method });
        let pool = Pool::builder(manager)
            .max_size(settings.connections)
            .wait_timeout(Some(settings.connection_wait))
            // The driver's own connect_timeout ends when the socket is open: a frozen server accepts too.
            .create_timeout(Some(settings.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StartError::Unusable(error.to_string()))?;
        Ok(Self {
            pool,
            config,
            answer_timeout: settings.answer_timeout,
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) async fn open(&self) -> Result<Session, Fault> {
        let connection = self.pool.get().await.map_err(fault::of_pool)?;
        Ok(Session {
            connection: Some(connection),
        })
    }

    /// No transaction waits for ever, whatever became of the server (I8).
    pub(super) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(self.answer_timeout, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::ours(format!(
                "postgres gave no answer within {:?}",
                self.answer_timeout
            ))),
        }
    }
}

/// One connection, for one transaction.
///
/// It goes back to the pool only through [`Session::end`], when its transaction has verifiably ended.
/// Dropped in any other way (a future that was cancelled, a panic), it is closed: the server rolls back,
/// and nobody ever meets somebody else's open transaction.
pub(super) struct Session {
    connection: Option<Object>,
}

impl Session {
    /// Keeps the connection after a success or a rollback, and closes it when the fault is ours: it may be
    /// half dead, or belong to a primary that was demoted, or its COMMIT may still be under way.
    pub(super) async fn end<T>(mut self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        let sound = match &outcome {
            Ok(_) => true,
            Err(fault) if fault.class == Class::Ours => false,
            Err(_) => self.roll_back().await,
        };
        if sound {
            drop(self.connection.take());
        }
        outcome
    }

    async fn roll_back(&self) -> bool {
        let rollback = self.batch_execute("ROLLBACK");
        matches!(
            tokio::time::timeout(ROLLBACK_WAIT, rollback).await,
            Ok(Ok(()))
        )
    }

    /// Prepares a statement, once per connection.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, Fault> {
        let prepared = self.connection().prepare_cached(sql).await;
        prepared.map_err(|error| fault::of(&error))
    }

    fn connection(&self) -> &Object {
        self.connection
            .as_ref()
            .expect("taken only by `end` and `drop`")
    }
}

impl Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        self.connection()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}
