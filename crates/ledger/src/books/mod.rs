//! What operators ask the ledger, and what they change by hand. The second seam: every ledger keeps books.
//!
//! Nothing here is on the way of an event. Every statement is bounded, by its limit or by
//! [`MOST_AT_ONCE`], so that a question never holds up the workers for long (I8); whoever wants everything
//! asks again, from where the last answer ended.

mod account;
mod applied_between;
mod condition;
mod desired;
mod forensics;
mod letter;
mod order;
mod resent;

pub use account::{Account, AppliedRow, LetterStanding};
pub use applied_between::{AppliedCursor, AppliedEvent, Window};
pub(crate) use condition::{APPLIED, Condition, Dialect, ORDER, Value, columns};
pub use desired::Desired;
pub use forensics::{Doubled, EventName, PaidEvent, PaymentRow, Trace};
pub(crate) use letter::SweepPage;
pub use letter::{
    DeadCount, Entry, FullLetter, Happening, Letter, LetterCursor, LetterFilter, LetterId,
    LetterState, Mark, Swept,
};
pub use order::OrderTotals;
pub use resent::{Resent, ResentEvent};

use envelope::{Key, PipelineName, UnixMicros};
use resilience::Fault;
use std::future::Future;

/// How much one statement asks for, or changes, at most. Longer lists are taken in pieces. A thousand keys
/// are found in milliseconds, and hold their locks for as long.
pub const MOST_AT_ONCE: usize = 1_000;

/// How many full letters one statement fetches at most: a body has up to a mebibyte.
pub(crate) const MOST_BODIES_AT_ONCE: usize = 100;

/// A kind of row that is kept for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Applied events, by when they were applied.
    Processed,
    /// Dead letters in any state, by when they died (last), together with their history.
    Letters,
    /// Starts of suspects that nobody filed or cleared, by the last start.
    Suspects,
}

/// A database that answers its operators.
pub trait Books: Clone + Send + Sync + 'static {
    /// What is known of each of these events, in their order. One round trip for each [`MOST_AT_ONCE`].
    fn accounts(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<Account>, Fault>> + Send;

    /// How many payments each of these events has made, in their order.
    fn effects(&self, events: &[EventName])
    -> impl Future<Output = Result<Vec<u32>, Fault>> + Send;

    /// At most `limit` letters that fit, newest first, after the one given: by `dead_at`, pipeline and key,
    /// all descending. A letter whose event has been applied since is not dead, swept or not; among those that
    /// are superseded it is listed once it has been swept.
    fn letters(
        &self,
        filter: &LetterFilter,
        after: Option<&LetterCursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Letter>, Fault>> + Send;

    /// How many letters fit.
    fn count_letters(
        &self,
        filter: &LetterFilter,
    ) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// How many letters are dead, by pipeline and class. Reads an index only, so it may be asked often; what
    /// [`Books::supersede`] has not swept yet is counted.
    fn dead_by_class(&self) -> impl Future<Output = Result<Vec<DeadCount>, Fault>> + Send;

    /// One letter with body, headers and history.
    fn letter(
        &self,
        id: &LetterId,
    ) -> impl Future<Output = Result<Option<FullLetter>, Fault>> + Send {
        let ids = std::slice::from_ref(id);
        async move { Ok(self.full_letters(ids).await?.pop()) }
    }

    /// These letters with body, headers and history, in the order of `ids`; those that are not there are
    /// left out.
    fn full_letters(
        &self,
        ids: &[LetterId],
    ) -> impl Future<Output = Result<Vec<FullLetter>, Fault>> + Send;

    /// Marks the letters among these that are dead and have as many `replays` as they were read with, and
    /// writes that into their history. How many it marked.
    ///
    /// A letter that was replayed and has died again in the meantime stays dead, and the replay is in its
    /// history all the same.
    fn mark(
        &self,
        letters: &[(LetterId, u32)],
        mark: Mark,
        who: &str,
        now: UnixMicros,
    ) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// Looks at `limit` dead letters after the one given, newest first, and marks as superseded those whose
    /// event has been applied in the meantime (same key, same body).
    fn supersede(
        &self,
        after: Option<&LetterCursor>,
        limit: u32,
        now: UnixMicros,
    ) -> impl Future<Output = Result<Swept, Fault>> + Send;

    /// Deletes at most `limit` rows of a kind that are older, oldest first. How many it deleted: fewer than
    /// `limit` means that nothing older is left, or that somebody else is at work on it.
    fn forget(
        &self,
        kind: Kind,
        older_than: UnixMicros,
        limit: u32,
    ) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// How many workers this pipeline was last desired to have; nothing where nobody has said so yet.
    fn desired_workers(
        &self,
        pipeline: &PipelineName,
    ) -> impl Future<Output = Result<Option<Desired>, Fault>> + Send;

    /// Changes that, unless somebody else has since the number `from` was read. Whether it did.
    fn change_desired_workers(
        &self,
        pipeline: &PipelineName,
        from: Option<Desired>,
        workers: u32,
        now: UnixMicros,
    ) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// Events by when they were applied, at most `limit` of those in the window, after the one given.
    ///
    /// A row's time is when its transaction began, so rows may still appear behind a cursor that is closer
    /// to now than a transaction may last ([`crate::LedgerSettings::answer_timeout`]).
    fn applied_between(
        &self,
        window: Window,
        after: Option<&AppliedCursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<AppliedEvent>, Fault>> + Send;

    /// Events that have made payments, by source and id, after the one given.
    fn paid_events(
        &self,
        after: Option<&EventName>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<PaidEvent>, Fault>> + Send;

    /// The payments of each of these events, oldest first, in the order of `events`.
    fn payments_of(
        &self,
        events: &[EventName],
    ) -> impl Future<Output = Result<Vec<Vec<PaymentRow>>, Fault>> + Send;

    /// Orders with what was folded into them, by id, after the one given.
    fn order_totals(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<OrderTotals>, Fault>> + Send;

    /// Who applied each of these events, and when, in the order of `keys`.
    fn traces(
        &self,
        keys: &[Key],
    ) -> impl Future<Output = Result<Vec<Option<Trace>>, Fault>> + Send;

    /// Events with more payments than these pipelines have applied them, at most `limit`, and who applied them.
    /// Walks all payments, page by page.
    fn doubled_payments(
        &self,
        pipelines: &[PipelineName],
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Doubled>, Fault>> + Send {
        forensics::doubled_payments(self, pipelines, limit)
    }

    /// Events with payments made at or after `since` that none of these pipelines has applied, at most
    /// `limit`: somebody else writes, or a row has been deleted. `since` is to be younger than what
    /// retention forgets. Walks all payments, page by page.
    fn payments_without_row(
        &self,
        pipelines: &[PipelineName],
        since: UnixMicros,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<PaidEvent>, Fault>> + Send {
        forensics::payments_without_row(self, pipelines, since, limit)
    }

    /// Events applied in the window that say the same under different ids, at most `limit` groups: senders
    /// that send again under a new id. See [`Resent`] for what "the same" is. Walks the window, page by page.
    fn same_body_other_id(
        &self,
        window: Window,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Resent>, Fault>> + Send {
        resent::same_body_other_id(self, window, limit)
    }
}
