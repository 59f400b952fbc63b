//! The open transaction.

use super::{blocking, fault};
use crate::{OrderChange, Payment, Transaction};
use resilience::Fault;
use rusqlite::{Connection, Params};

/// IMMEDIATE takes the write lock now, where it can be waited for. A transaction that reads first and then
/// wants to write is refused at once when somebody else wrote in between.
const BEGIN: &str = "BEGIN IMMEDIATE";

const APPEND_PAYMENT: &str = "\
    INSERT INTO payments (event_id, source, order_id, amount, currency, status, occurred_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// As in Postgres: the newest version wins, the last of equals; the witness stops at what 64 bits hold.
const FOLD_ORDER: &str = "\
    INSERT INTO orders AS o (order_id, status, amount, currency, version, version_received_at, \
        applied_events, amount_total) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
    ON CONFLICT (order_id) DO UPDATE SET \
        (status, amount, currency, version, version_received_at) = (SELECT \
            CASE WHEN n.newer THEN excluded.status ELSE o.status END, \
            CASE WHEN n.newer THEN excluded.amount ELSE o.amount END, \
            CASE WHEN n.newer THEN excluded.currency ELSE o.currency END, \
            CASE WHEN n.newer THEN excluded.version ELSE o.version END, \
            CASE WHEN n.newer THEN excluded.version_received_at ELSE o.version_received_at END \
            FROM (SELECT (excluded.version, excluded.version_received_at) \
                      >= (o.version, o.version_received_at) AS newer) AS n), \
        applied_events = o.applied_events + excluded.applied_events, \
        amount_total = min(o.amount_total, 9223372036854775807 - excluded.amount_total) \
            + excluded.amount_total, \
        updated_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)";

/// A transaction. Dropped before [`SqliteTransaction::commit`], it rolls back: also when the future that
/// owns it is cancelled.
pub(super) struct SqliteTransaction<'a> {
    connection: &'a mut Connection,
    failed: Option<Fault>,
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn begin(connection: &'a mut Connection) -> Result<Self, Fault> {
        connection
            .execute_batch(BEGIN)
            .map_err(|error| fault::of(&error))?;
        Ok(Self {
            connection,
            failed: None,
        })
    }

    /// Commits. A handler that kept a failed statement to itself is told here: what would be committed is
    /// half of an effect.
    pub(super) fn commit(mut self) -> Result<(), Fault> {
        if let Some(fault) = self.failed.take() {
            return Err(fault);
        }
        let committed = self.connection.execute_batch("COMMIT");
        committed.map_err(|error| fault::of(&error))
    }

    /// Runs one statement; the number of rows it changed.
    pub(super) fn execute(&mut self, sql: &str, parameters: impl Params) -> Result<usize, Fault> {
        let outcome = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(parameters))
            .map_err(|error| fault::of(&error));
        if let Err(fault) = &outcome {
            self.failed = Some(fault.clone());
        }
        outcome
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // Where this fails the disk is gone, and the next BEGIN says so.
            let _ = blocking(|| self.connection.execute_batch("ROLLBACK"));
        }
    }
}

impl Transaction for SqliteTransaction<'_> {
    async fn append_payments(&mut self, payments: &[Payment]) -> Result<(), Fault> {
        blocking(|| {
            payments
                .iter()
                .try_for_each(|payment| append(self, payment))
        })
    }

    async fn fold_orders(&mut self, changes: &[OrderChange]) -> Result<(), Fault> {
        blocking(|| changes.iter().try_for_each(|change| fold(self, change)))
    }
}

fn append(transaction: &mut SqliteTransaction<'_>, payment: &Payment) -> Result<(), Fault> {
    let parameters = (
        payment.event_id.as_str(),
        payment.source.as_str(),
        &payment.order_id,
        payment.amount,
        &payment.currency,
        &payment.status,
        payment.occurred_at.map(|at| at.0),
    );
    transaction.execute(APPEND_PAYMENT, parameters).map(drop)
}

fn fold(transaction: &mut SqliteTransaction<'_>, change: &OrderChange) -> Result<(), Fault> {
    let parameters = (
        &change.order_id,
        &change.status,
        change.amount,
        &change.currency,
        change.version.0,
        change.received_at.0,
        change.applied_events,
        change.amount_total,
    );
    transaction.execute(FOLD_ORDER, parameters).map(drop)
}
