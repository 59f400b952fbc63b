//! The books in Postgres. Each question is one statement, and a transaction of its own.

mod accounts;
mod applied;
mod desired;
mod forget;
mod letters;
mod mark;
mod orders;
mod payments;
mod read;

use super::{PostgresLedger, fault};
use crate::books::{
    Account, AppliedCursor, AppliedEvent, Books, DeadCount, Desired, EventName, FullLetter,
    Happening, Kind, Letter, LetterCursor, LetterFilter, LetterId, MOST_AT_ONCE,
    MOST_BODIES_AT_ONCE, Mark, OrderTotals, PaidEvent, PaymentRow, SweepPage, Swept, Trace, Window,
};
use envelope::{Key, PipelineName, UnixMicros};
use resilience::Fault;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

impl PostgresLedger {
    /// Runs one statement in a session of its own.
    async fn ask(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        let session = self.sessions.open().await?;
        let answered = async {
            let statement = session.prepare(sql).await?;
            let rows = session.query(&statement, parameters).await;
            rows.map_err(|error| fault::of(&error))
        };
        let outcome = self.sessions.bounded(answered).await;
        session.end(outcome).await
    }

    /// The same, for a statement that answers with one number.
    async fn ask_count(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, Fault> {
        let rows = self.ask(sql, parameters).await?;
        Ok(rows.first().map_or(0, |row| read::count(row, 0)))
    }
}

impl Books for PostgresLedger {
    async fn accounts(&self, keys: &[Key]) -> Result<Vec<Account>, Fault> {
        let mut accounts = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MOST_AT_ONCE) {
            accounts.extend(accounts::accounts(self, keys).await?);
        }
        Ok(accounts)
    }

    async fn effects(&self, events: &[EventName]) -> Result<Vec<u32>, Fault> {
        let mut effects = Vec::with_capacity(events.len());
        for events in events.chunks(MOST_AT_ONCE) {
            effects.extend(payments::effects(self, events).await?);
        }
        Ok(effects)
    }

    async fn letters(
        &self,
        filter: &LetterFilter,
        after: Option<&LetterCursor>,
        limit: u32,
    ) -> Result<Vec<Letter>, Fault> {
        letters::letters(self, filter, after, limit).await
    }

    async fn count_letters(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        letters::count(self, filter).await
    }

    async fn dead_by_class(&self) -> Result<Vec<DeadCount>, Fault> {
        letters::dead_by_class(self).await
    }

    async fn full_letters(&self, ids: &[LetterId]) -> Result<Vec<FullLetter>, Fault> {
        let mut letters = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MOST_BODIES_AT_ONCE) {
            letters.extend(letters::full(self, ids).await?);
        }
        Ok(letters)
    }

    async fn mark(
        &self,
        letters: &[(LetterId, u32)],
        mark: Mark,
        who: &str,
        now: UnixMicros,
    ) -> Result<u64, Fault> {
        mark::mark(self, letters, mark.into(), Some(who), now).await
    }

    async fn supersede(
        &self,
        after: Option<&LetterCursor>,
        limit: u32,
        now: UnixMicros,
    ) -> Result<Swept, Fault> {
        let SweepPage { applied, next } = mark::applied_since(self, after, limit).await?;
        let superseded = mark::mark(self, &applied, Happening::Superseded, None, now).await?;
        Ok(Swept { superseded, next })
    }

    async fn forget(&self, kind: Kind, older_than: UnixMicros, limit: u32) -> Result<u64, Fault> {
        forget::forget(self, kind, older_than, limit).await
    }

    async fn desired_workers(&self, pipeline: &PipelineName) -> Result<Option<Desired>, Fault> {
        desired::last(self, pipeline).await
    }

    async fn change_desired_workers(
        &self,
        pipeline: &PipelineName,
        from: Option<Desired>,
        workers: u32,
        now: UnixMicros,
    ) -> Result<bool, Fault> {
        desired::change(self, pipeline, from, workers, now).await
    }

    async fn applied_between(
        &self,
        window: Window,
        after: Option<&AppliedCursor>,
        limit: u32,
    ) -> Result<Vec<AppliedEvent>, Fault> {
        applied::between(self, window, after, limit).await
    }

    async fn paid_events(
        &self,
        after: Option<&EventName>,
        limit: u32,
    ) -> Result<Vec<PaidEvent>, Fault> {
        payments::paid_events(self, after, limit).await
    }

    async fn payments_of(&self, events: &[EventName]) -> Result<Vec<Vec<PaymentRow>>, Fault> {
        let mut payments = Vec::with_capacity(events.len());
        for events in events.chunks(MOST_AT_ONCE) {
            payments.extend(payments::of(self, events).await?);
        }
        Ok(payments)
    }

    async fn order_totals(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<OrderTotals>, Fault> {
        orders::totals(self, after, limit).await
    }

    async fn traces(&self, keys: &[Key]) -> Result<Vec<Option<Trace>>, Fault> {
        let mut traces = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MOST_AT_ONCE) {
            traces.extend(applied::traces(self, keys).await?);
        }
        Ok(traces)
    }
}
