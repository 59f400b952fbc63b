//! The books in SQLite. Questions go to the connection that reads, beside whoever writes; lists are taken
//! in pieces, so that nobody else who reads waits for long.

mod accounts;
mod applied;
mod desired;
mod forget;
mod letters;
mod mark;
mod orders;
mod payments;
mod read;

use super::transaction::SqliteTransaction;
use super::{SqliteLedger, blocking, fault};
use crate::books::{
    Account, AppliedCursor, AppliedEvent, Books, DeadCount, Desired, EventName, FullLetter,
    Happening, Kind, Letter, LetterCursor, LetterFilter, LetterId, MOST_AT_ONCE,
    MOST_BODIES_AT_ONCE, Mark, OrderTotals, PaidEvent, PaymentRow, SweepPage, Swept, Trace, Window,
};
use envelope::{Key, PipelineName, UnixMicros};
use resilience::Fault;
use rusqlite::Connection;

impl SqliteLedger {
    /// Reads.
    async fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    ) -> Result<T, Fault> {
        let reader = self.reader.lock().await;
        blocking(|| question(&reader)).map_err(|error| fault::of(&error))
    }

    /// Asks the same of each, [`MOST_AT_ONCE`] at a time.
    async fn ask_each<I: Sync, T: Send>(
        &self,
        items: &[I],
        question: impl Fn(&Connection, &I) -> rusqlite::Result<T> + Send + Sync,
    ) -> Result<Vec<T>, Fault> {
        let mut answers = Vec::with_capacity(items.len());
        for items in items.chunks(MOST_AT_ONCE) {
            let each = |reader: &Connection| items.iter().map(|it| question(reader, it)).collect();
            let answered: Vec<T> = self.ask(each).await?;
            answers.extend(answered);
        }
        Ok(answers)
    }

    /// Writes, in one transaction.
    async fn change<T>(
        &self,
        work: impl FnOnce(&mut SqliteTransaction<'_>) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        let mut writer = self.writer.lock().await;
        blocking(|| {
            let mut transaction = SqliteTransaction::begin(&mut writer)?;
            let done = work(&mut transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }
}

impl Books for SqliteLedger {
    async fn accounts(&self, keys: &[Key]) -> Result<Vec<Account>, Fault> {
        self.ask_each(keys, accounts::account).await
    }

    async fn effects(&self, events: &[EventName]) -> Result<Vec<u32>, Fault> {
        self.ask_each(events, payments::effects).await
    }

    async fn letters(
        &self,
        filter: &LetterFilter,
        after: Option<&LetterCursor>,
        limit: u32,
    ) -> Result<Vec<Letter>, Fault> {
        self.ask(|reader| letters::letters(reader, filter, after, limit))
            .await
    }

    async fn count_letters(&self, filter: &LetterFilter) -> Result<u64, Fault> {
        self.ask(|reader| letters::count(reader, filter)).await
    }

    async fn dead_by_class(&self) -> Result<Vec<DeadCount>, Fault> {
        self.ask(letters::dead_by_class).await
    }

    async fn full_letters(&self, ids: &[LetterId]) -> Result<Vec<FullLetter>, Fault> {
        let mut letters = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MOST_BODIES_AT_ONCE) {
            let found = self.ask_each(ids, letters::full).await?;
            letters.extend(found.into_iter().flatten());
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
        self.mark_as(letters, mark.into(), Some(who), now).await
    }

    async fn supersede(
        &self,
        after: Option<&LetterCursor>,
        limit: u32,
        now: UnixMicros,
    ) -> Result<Swept, Fault> {
        let page = self.ask(|reader| mark::applied_since(reader, after, limit));
        let SweepPage { applied, next } = page.await?;
        let superseded = self
            .mark_as(&applied, Happening::Superseded, None, now)
            .await?;
        Ok(Swept { superseded, next })
    }

    async fn forget(&self, kind: Kind, older_than: UnixMicros, limit: u32) -> Result<u64, Fault> {
        self.change(|transaction| forget::forget(transaction, kind, older_than, limit))
            .await
    }

    async fn desired_workers(&self, pipeline: &PipelineName) -> Result<Option<Desired>, Fault> {
        self.ask(|reader| desired::last(reader, pipeline)).await
    }

    async fn change_desired_workers(
        &self,
        pipeline: &PipelineName,
        from: Option<Desired>,
        workers: u32,
        now: UnixMicros,
    ) -> Result<bool, Fault> {
        self.change(|transaction| desired::change(transaction, pipeline, from, workers, now))
            .await
    }

    async fn applied_between(
        &self,
        window: Window,
        after: Option<&AppliedCursor>,
        limit: u32,
    ) -> Result<Vec<AppliedEvent>, Fault> {
        self.ask(|reader| applied::between(reader, window, after, limit))
            .await
    }

    async fn paid_events(
        &self,
        after: Option<&EventName>,
        limit: u32,
    ) -> Result<Vec<PaidEvent>, Fault> {
        self.ask(|reader| payments::paid_events(reader, after, limit))
            .await
    }

    async fn payments_of(&self, events: &[EventName]) -> Result<Vec<Vec<PaymentRow>>, Fault> {
        self.ask_each(events, payments::of).await
    }

    async fn order_totals(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<OrderTotals>, Fault> {
        self.ask(|reader| orders::totals(reader, after, limit))
            .await
    }

    async fn traces(&self, keys: &[Key]) -> Result<Vec<Option<Trace>>, Fault> {
        self.ask_each(keys, applied::trace).await
    }
}

impl SqliteLedger {
    async fn mark_as(
        &self,
        letters: &[(LetterId, u32)],
        what: Happening,
        who: Option<&str>,
        now: UnixMicros,
    ) -> Result<u64, Fault> {
        let mut marked = 0;
        // A commit for each, so that the one who writes events waits for a thousand at most.
        for letters in letters.chunks(MOST_AT_ONCE) {
            let each = |transaction: &mut SqliteTransaction<'_>| {
                mark::mark(transaction, letters, what, who, now)
            };
            marked += self.change(each).await?;
        }
        Ok(marked)
    }
}
