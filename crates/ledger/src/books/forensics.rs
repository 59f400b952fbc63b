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

/// An event with more payments than pipelines have applied it.
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
    while let Some(mut page) = doubled.page(books).await? {
        page.retain(|paid| paid.payments > 1);
        let traces = traces(books, pipelines, &page).await?;
        let twice = page.into_iter().zip(traces);
        let twice = twice.filter(|(paid, traces)| paid.payments as usize > due(traces, pipelines));
        doubled.found.extend(twice);
    }
    let found = doubled.first();
    let events: Vec<EventName> = found.iter().map(|(paid, _)| paid.event.clone()).collect();
    let payments = books.payments_of(&events).await?;
    let told = found.into_iter().zip(payments);
    let told = told.map(|((paid, applied), payments)| Doubled {
        event: paid.event,
        payments,
        applied,
    });
    Ok(told.collect())
}

/// Each pipeline that has applied an event has made one payment. An event of which nobody knows may have been
/// applied by all of them, and forgotten since.
fn due(traces: &[Trace], pipelines: &[PipelineName]) -> usize {
    match traces.len() {
        0 => pipelines.len().max(1),
        applied => applied,
    }
}

/// Who has applied each of these events.
async fn traces<B: Books>(
    books: &B,
    pipelines: &[PipelineName],
    page: &[PaidEvent],
) -> Result<Vec<Vec<Trace>>, Fault> {
    let keys = page.iter().flat_map(|paid| keys(pipelines, &paid.event));
    let keys: Vec<Key> = keys.collect();
    let mut traces = books.traces(&keys).await?.into_iter();
    let of_event = |_: &PaidEvent| traces.by_ref().take(pipelines.len()).flatten().collect();
    Ok(page.iter().map(of_event).collect())
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
        let traces = traces(books, pipelines, &page).await?;
        let unknown = page.into_iter().zip(traces);
        let unknown = unknown.filter(|(_, traces)| traces.is_empty());
        orphans.found.extend(unknown.map(|(paid, _)| paid));
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
