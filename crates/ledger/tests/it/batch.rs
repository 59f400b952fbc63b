//! Batches to commit, and a handler that applies them.

use bytes::Bytes;
use envelope::{Attempt, BodyHash, Envelope, EventId, Key, SignatureDigest, UnixMicros};
use ledger::{Candidate, Handler, OrderChange, Payment, Transaction};
use resilience::Fault;
use std::collections::BTreeMap;
use std::future::Future;

/// 2025-11-23, or thereabouts.
pub const RECEIVED: UnixMicros = UnixMicros(1_763_900_000_123_456);

/// What an event does: pay for an order, or fail.
#[derive(Clone, Debug)]
pub struct Deed {
    pub order_id: String,
    pub amount: i64,
    pub status: String,
    pub version: UnixMicros,
    pub fails: Option<Fault>,
}

/// An event of source `shop` in pipeline `payments`, with a body of its own.
pub fn event(id: &str) -> Candidate<Deed> {
    event_with_body(id, format!(r#"{{"id":"{id}"}}"#))
}

pub fn event_with_body(id: &str, body: impl Into<Bytes>) -> Candidate<Deed> {
    from_source("payments", "shop", id, body)
}

pub fn from_source(
    pipeline: &str,
    source: &str,
    id: &str,
    body: impl Into<Bytes>,
) -> Candidate<Deed> {
    let payload = body.into();
    let (pipeline, source) = (pipeline.parse().unwrap(), source.parse().unwrap());
    let event_id: EventId = id.parse().unwrap();
    Candidate {
        key: Key::of(&pipeline, &source, &event_id),
        pipeline,
        source,
        event_id,
        signature_digest: None,
        body_sha256: BodyHash::of(&payload),
        payload,
        received_at: RECEIVED,
        attempt: Attempt::FIRST,
        effect: Deed {
            order_id: format!("order-of-{id}"),
            amount: 100,
            status: "paid".into(),
            version: RECEIVED,
            fails: None,
        },
    }
}

pub fn signed(candidate: Candidate<Deed>, signature: &[u8]) -> Candidate<Deed> {
    Candidate {
        signature_digest: Some(SignatureDigest::of(&[signature])),
        ..candidate
    }
}

pub fn about_order(mut candidate: Candidate<Deed>, order_id: &str) -> Candidate<Deed> {
    candidate.effect.order_id = order_id.into();
    candidate
}

pub fn failing(mut candidate: Candidate<Deed>, fault: Fault) -> Candidate<Deed> {
    candidate.effect.fails = Some(fault);
    candidate
}

/// Appends a payment per event and folds the orders, as the built-in handler does.
pub struct Payments;

/// The same, and then something else before the transaction goes on.
pub struct PaymentsThen<F>(pub F);

impl Handler for Payments {
    type Effect = Deed;

    fn decode(&self, _: &Envelope) -> Result<Deed, Fault> {
        Err(Fault::passing("these tests decode nothing"))
    }

    async fn apply<T: Transaction>(
        &self,
        transaction: &mut T,
        inserted: &[&Candidate<Deed>],
    ) -> Result<(), Fault> {
        transaction.append_payments(&payments(inserted)).await?;
        transaction.fold_orders(&orders(inserted)).await?;
        let failing = inserted.iter().find_map(|it| it.effect.fails.clone());
        failing.map_or(Ok(()), Err)
    }
}

impl<F, R> Handler for PaymentsThen<F>
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    type Effect = Deed;

    fn decode(&self, envelope: &Envelope) -> Result<Deed, Fault> {
        Payments.decode(envelope)
    }

    async fn apply<T: Transaction>(
        &self,
        transaction: &mut T,
        inserted: &[&Candidate<Deed>],
    ) -> Result<(), Fault> {
        Payments.apply(transaction, inserted).await?;
        (self.0)().await;
        Ok(())
    }
}

/// Appends two payments per event: a handler that is not atomic, or somebody else who writes.
pub struct PaidTwice;

impl Handler for PaidTwice {
    type Effect = Deed;

    fn decode(&self, envelope: &Envelope) -> Result<Deed, Fault> {
        Payments.decode(envelope)
    }

    async fn apply<T: Transaction>(
        &self,
        transaction: &mut T,
        inserted: &[&Candidate<Deed>],
    ) -> Result<(), Fault> {
        transaction.append_payments(&payments(inserted)).await?;
        Payments.apply(transaction, inserted).await
    }
}

fn payments(inserted: &[&Candidate<Deed>]) -> Vec<Payment> {
    let payment = |candidate: &&Candidate<Deed>| Payment {
        event_id: candidate.event_id.clone(),
        source: candidate.source.clone(),
        order_id: candidate.effect.order_id.clone(),
        amount: candidate.effect.amount,
        currency: None,
        status: candidate.effect.status.clone(),
        occurred_at: None,
    };
    inserted.iter().map(payment).collect()
}

/// A `BTreeMap`, because changes are ordered by order id.
fn orders(inserted: &[&Candidate<Deed>]) -> Vec<OrderChange> {
    let mut orders = BTreeMap::<&str, OrderChange>::new();
    for candidate in inserted {
        let change = change(candidate);
        match orders.get_mut(change.order_id.as_str()) {
            Some(folded) => fold(folded, change),
            None => drop(orders.insert(&candidate.effect.order_id, change)),
        }
    }
    orders.into_values().collect()
}

fn change(candidate: &Candidate<Deed>) -> OrderChange {
    OrderChange {
        order_id: candidate.effect.order_id.clone(),
        status: candidate.effect.status.clone(),
        amount: candidate.effect.amount,
        currency: Some("EUR".into()),
        version: candidate.effect.version,
        received_at: candidate.received_at,
        applied_events: 1,
        amount_total: candidate.effect.amount,
    }
}

fn fold(folded: &mut OrderChange, change: OrderChange) {
    let applied_events = folded.applied_events + change.applied_events;
    let amount_total = folded.amount_total + change.amount_total;
    if (change.version, change.received_at) >= (folded.version, folded.received_at) {
        *folded = change;
    }
    folded.applied_events = applied_events;
    folded.amount_total = amount_total;
}
