//! The open transaction.

use super::fault;
use super::session::Session;
use super::timestamp::Timestamptz;
use crate::{OrderChange, Payment, Transaction};
use resilience::Fault;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// READ COMMITTED, whatever the server's default is: in REPEATABLE READ the loser of a race for a key gets
/// 40001 instead of finding the winner's row.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The SET in front has two jobs. In an aborted transaction it fails, where a bare COMMIT would answer
/// "done" and roll back. And a `statement_timeout` that hits a COMMIT waiting for its standby would turn
/// "not there yet" into "done". One message, one round trip.
const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

const APPEND_PAYMENTS: &str = "\
    INSERT INTO payments (event_id, source, order_id, amount, currency, status, occurred_at) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], \
        $7::timestamptz[])";

/// `LEAST`: the witness stops at what a bigint holds. Overflowing would refuse every later event of the
/// order. The row comparison decides by version, then by time of receipt; the last of equals wins.
const FOLD_ORDERS: &str = "\
    INSERT INTO orders AS o (order_id, status, amount, currency, version, version_received_at, \
        applied_events, amount_total) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[], \
        $6::timestamptz[], $7::bigint[], $8::bigint[]) \
        AS t(order_id, status, amount, currency, version, version_received_at, applied_events, amount_total) \
    ORDER BY t.order_id COLLATE \"C\" \
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
        amount_total = LEAST(o.amount_total, 9223372036854775807 - excluded.amount_total) \
            + excluded.amount_total, \
        updated_at = now()";

/// A transaction on a session.
pub(super) struct PostgresTransaction<'a> {
    session: &'a Session,
    failed: Option<Fault>,
}

impl<'a> PostgresTransaction<'a> {
    pub(super) async fn begin(session: &'a Session) -> Result<Self, Fault> {
        let begun = session.batch_execute(BEGIN).await;
        begun.map_err(|error| fault::of(&error))?;
        Ok(Self {
            session,
            failed: None,
        })
    }

    /// Commits. An error without an answer from the server is an unknown outcome, and a fault of ours.
    ///
    /// A statement that failed has aborted the transaction, even where a handler kept that to itself: it
    /// is told here.
    pub(super) async fn commit(self) -> Result<(), Fault> {
        if let Some(fault) = self.failed {
            return Err(fault);
        }
        let committed = self.session.batch_execute(COMMIT).await;
        committed.map_err(|error| fault::of_commit(&error))
    }

    pub(super) async fn execute(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let outcome = run(self.session, sql, parameters).await;
        if let Err(fault) = &outcome {
            self.failed = Some(fault.clone());
        }
        outcome
    }
}

async fn run(
    session: &Session,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Fault> {
    let statement = session.prepare(sql).await?;
    let answered = session.query(&statement, parameters).await;
    answered.map_err(|error| fault::of(&error))
}

/// One column of a batch, as one array.
pub(super) fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

impl Transaction for PostgresTransaction<'_> {
    async fn append_payments(&mut self, payments: &[Payment]) -> Result<(), Fault> {
        let event_ids = column(payments, |payment| payment.event_id.as_str());
        let sources = column(payments, |payment| payment.source.as_str());
        let order_ids = column(payments, |payment| payment.order_id.as_str());
        let amounts = column(payments, |payment| payment.amount);
        let currencies = column(payments, |payment| payment.currency.as_deref());
        let statuses = column(payments, |payment| payment.status.as_str());
        let occurred = column(payments, |payment| payment.occurred_at.map(Timestamptz));
        self.execute(
            APPEND_PAYMENTS,
            &[
                &event_ids,
                &sources,
                &order_ids,
                &amounts,
                &currencies,
                &statuses,
                &occurred,
            ],
        )
        .await?;
        Ok(())
    }

    async fn fold_orders(&mut self, changes: &[OrderChange]) -> Result<(), Fault> {
        let order_ids = column(changes, |change| change.order_id.as_str());
        let statuses = column(changes, |change| change.status.as_str());
        let amounts = column(changes, |change| change.amount);
        let currencies = column(changes, |change| change.currency.as_deref());
        let versions = column(changes, |change| Timestamptz(change.version));
        let received = column(changes, |change| Timestamptz(change.received_at));
        let events = column(changes, |change| change.applied_events);
        let totals = column(changes, |change| change.amount_total);
        self.execute(
            FOLD_ORDERS,
            &[
                &order_ids,
                &statuses,
                &amounts,
                &currencies,
                &versions,
                &received,
                &events,
                &totals,
            ],
        )
        .await?;
        Ok(())
    }
}
