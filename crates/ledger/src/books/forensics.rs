//! Where the effects and the rows that stand for them disagree.

use super::Books;
use envelope::{Attempt, EventId, Key, PipelineName, SourceName, UnixMicros};
use resilience::Fault;

/// How many events one page of a walk holds.
const PAGE: u32 = 5_000;

/// An event by the names its sender gave it.
pub type EventName = (SourceName, EventId);

/// An event that has made payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidEvent {
    /// Who sent it, and its name.
    pub event: EventName,
    /// How many payments it has made.
    pub payments: u32,
    /// When the last of them was made.
    pub last_at: UnixMicros,
}

/// A row of `payments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// The order it is for.
    pub order_id: String,
    /// The amount in minor units.
    pub amount: i64,
    /// ISO 4217 code, where the sender names one.
    pub currency: Option<String>,
    /// The status.
    pub status: String,
    /// When it was written.
    pub created_at: UnixMicros,
}

/// Who applied an event, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// In which pipeline.
    pub pipeline: PipelineName,
    /// The worker that did.
    pub worker: String,
    /// At which try.
    pub attempt: Attempt,
    /// When it was received.
    pub received_at: UnixMicros,
    /// When it was applied.
    pub processed_at: UnixMicros,
}

/// An event with more than one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubled {
    /// Which event.
    pub event: EventName,
    /// Its payments, oldest first.
    pub payments: Vec<PaymentRow>,
    /// Its rows in `processed_webhooks`.
    pub applied: Vec<Trace>,
}

pub(super) async fn doubled_payments<B: Books>(
    books: &B,
    pipelines: &[PipelineName],
    limit: u32,
) -> Result<Vec<Doubled>, Fault> {
    let mut doubled = Walk::new(limit);
    while let Some(page) = doubled.page(books).await? {
        let twice = page.into_iter().filter(|paid| paid.payments > 1);
        doubled.found.extend(twice.map(|paid| paid.event));
    }
    let events = doubled.first();
    let payments = books.payments_of(&events).await?;
    let mut told = Vec::new();
    for (event, payments) in events.into_iter().zip(payments) {
        let keys = keys(pipelines, &event);
        let applied = books.traces(&keys).await?.into_iter().flatten().collect();
        told.push(Doubled {
            event,
            payments,
            applied,
        });
    }
    Ok(told)
}

pub(super) async fn payments_without_row<B: Books>(
    books: &B,
    pipelines: &[PipelineName],
    since: UnixMicros,
    limit: u32,
) -> Result<Vec<PaidEvent>, Fault> {
    let mut orphans = Walk::new(limit);
    while let Some(mut page) = orphans.page(books).await? {
        page.retain(|paid| paid.last_at >= since);
        let keys: Vec<Key> = page
            .iter()
            .flat_map(|paid| keys(pipelines, &paid.event))
            .collect();
        let traces = books.traces(&keys).await?;
        let mut traces = traces.chunks(pipelines.len().max(1));
        let without = |_: &PaidEvent| {
            traces
                .next()
                .is_none_or(|it| it.iter().all(Option::is_none))
        };
        page.retain(without);
        orphans.found.extend(page);
    }
    Ok(orphans.first())
}

/// All events with payments, page by page, until enough has been found.
struct Walk<T> {
    after: Option<EventName>,
    ended: bool,
    found: Vec<T>,
    limit: usize,
}

impl<T> Walk<T> {
    fn new(limit: u32) -> Self {
        Self {
            after: None,
            ended: false,
            found: Vec::new(),
            limit: limit as usize,
        }
    }

    async fn page(&mut self, books: &impl Books) -> Result<Option<Vec<PaidEvent>>, Fault> {
        if self.ended || self.found.len() >= self.limit {
            return Ok(None);
        }
        let page = books.paid_events(self.after.as_ref(), PAGE).await?;
        self.after = page.last().map(|paid| paid.event.clone());
        self.ended = page.len() < PAGE as usize;
        Ok(Some(page))
    }

    /// What was found, and no more than was asked for.
    fn first(mut self) -> Vec<T> {
        self.found.truncate(self.limit);
        self.found
    }
}

fn keys(pipelines: &[PipelineName], (source, event_id): &EventName) -> Vec<Key> {
    let key = |pipeline| Key::of(pipeline, source, event_id);
    pipelines.iter().map(key).collect()
}
