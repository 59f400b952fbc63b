//! What a ledger is told about its use, each default with its reason.

use std::time::Duration;

/// How a ledger is used: by whom, and how long anything may take (I8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    /// Who writes: `processed_webhooks.worker`, and `application_name = spillway-…` in Postgres.
    pub worker: String,
    /// How many connections there may be. A worker commits one batch at a time and archives or looks up
    /// beside it, so four are plenty; `max_workers ×` this has to fit into `max_connections`.
    pub connections: usize,
    /// How long a caller waits for one of them. As long as it takes to make a new one.
    pub connection_wait: Duration,
    /// How long a new connection may take, up to the point where it answers.
    pub connect_timeout: Duration,
    /// How long a statement waits for another transaction (`lock_timeout`; in SQLite `busy_timeout`). A
    /// batch takes milliseconds: whoever holds a lock for two seconds is stuck, and we should not be.
    pub lock_timeout: Duration,
    /// How long a statement may run (`statement_timeout`). A thousand times what a batch takes, so only a
    /// database in trouble meets it. Above `lock_timeout`, which says more about why.
    pub statement_timeout: Duration,
    /// How long a whole transaction may take, measured here: the server's own bounds are worth nothing
    /// when it is frozen or the network swallows its answers. Above `statement_timeout`, and well below
    /// the 30 s for which a worker holds its events.
    pub answer_timeout: Duration,
}

impl LedgerSettings {
    /// The defaults, for this worker.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            connections: 4,
            connection_wait: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
        }
    }
}
