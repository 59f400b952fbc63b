//! Events that say the same under different ids, close in time.

use super::{AppliedEvent, Books, EventName, PaymentRow, Window};
use envelope::{BodyHash, EventId, PipelineName, SourceName, UnixMicros};
use resilience::Fault;
use std::collections::{HashMap, VecDeque};

/// Events of one source in one pipeline that say the same: where they have made payments, the same order,
/// amount, currency and status; elsewhere the same body.
///
/// Each came within 100,000 others of the first: further apart they are more likely to be what they say
/// they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resent {
    /// The pipeline that has applied them.
    pub pipeline: PipelineName,
    /// Who sent them.
    pub source: SourceName,
    /// Whether their bodies are the same to the byte.
    pub same_body: bool,
    /// Two or more, in the order in which they were applied.
    pub events: Vec<ResentEvent>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResentEvent {
    /// The name it came under.
    pub event_id: EventId,
    /// When it was received.
    pub received_at: UnixMicros,
    /// When it was applied.
    pub processed_at: UnixMicros,
}

/// How many events one page of the walk holds.
const PAGE: u32 = 5_000;

/// How many events are remembered, some tens of megabytes.
const REMEMBERED: usize = 100_000;

pub(super) async fn same_body_other_id<B: Books>(
    books: &B,
    window: Window,
    limit: u32,
) -> Result<Vec<Resent>, Fault> {
    let mut seen = Seen::default();
    let mut after = None;
    while seen.resent.len() < limit as usize {
        let page = books.applied_between(window, after.as_ref(), PAGE).await?;
        after = page.last().map(AppliedEvent::cursor);
        let names: Vec<EventName> = page.iter().map(name).collect();
        let payments = books.payments_of(&names).await?;
        for (event, payments) in page.iter().zip(&payments) {
            seen.see(event, payments.first());
        }
        if page.len() < PAGE as usize {
            break;
        }
    }
    let mut resent = seen.resent;
    resent.truncate(limit as usize);
    Ok(resent)
}

fn name(event: &AppliedEvent) -> EventName {
    (event.source.clone(), event.event_id.clone())
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Saying {
    pipeline: PipelineName,
    source: SourceName,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum What {
    Payment {
        order_id: String,
        amount: i64,
        currency: Option<String>,
        status: String,
    },
    Body(BodyHash),
}

/// The events seen last, and the groups found among them.
#[derive(Debug, Default)]
struct Seen {
    by_saying: HashMap<Saying, Last>,
    order: VecDeque<Saying>,
    resent: Vec<Resent>,
}

/// Who said it first, and the group it is in once there is a second.
#[derive(Debug)]
struct Last {
    body: BodyHash,
    event: ResentEvent,
    group: Option<usize>,
}

impl Seen {
    fn see(&mut self, event: &AppliedEvent, payment: Option<&PaymentRow>) {
        let saying = saying(event, payment);
        let told = ResentEvent {
            event_id: event.event_id.clone(),
            received_at: event.received_at,
            processed_at: event.processed_at,
        };
        let Some(last) = self.by_saying.get_mut(&saying) else {
            return self.remember(saying, event.body_sha256, told);
        };
        let same_body = last.body == event.body_sha256;
        if let Some(group) = last.group {
            let group = &mut self.resent[group];
            group.same_body &= same_body;
            group.events.push(told);
        } else {
            last.group = Some(self.resent.len());
            self.resent.push(Resent {
                pipeline: saying.pipeline,
                source: saying.source,
                same_body,
                events: vec![last.event.clone(), told],
            });
        }
    }

    fn remember(&mut self, saying: Saying, body: BodyHash, event: ResentEvent) {
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_saying.remove(&oldest);
        }
        self.order.push_back(saying.clone());
        let group = None;
        self.by_saying.insert(saying, Last { body, event, group });
    }
}

fn saying(event: &AppliedEvent, payment: Option<&PaymentRow>) -> Saying {
    let what = match payment {
        Some(payment) => What::Payment {
            order_id: payment.order_id.clone(),
            amount: payment.amount,
            currency: payment.currency.clone(),
            status: payment.status.clone(),
        },
        None => What::Body(event.body_sha256),
    };
    Saying {
        pipeline: event.pipeline.clone(),
        source: event.source.clone(),
        what,
    }
}
