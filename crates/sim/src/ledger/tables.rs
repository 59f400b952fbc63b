//! What the database holds.

use crate::books::Books;
use crate::clock;
use bytes::Bytes;
use envelope::{BodyHash, EventId, Key, PipelineName, SignatureDigest, SourceName, UnixMicros};
use ledger::{Candidate, DeadLetter, Found, OrderChange, Payment, Standing};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Rows of all tables.
#[derive(Debug, Default)]
pub struct Tables {
    /// `processed_webhooks`.
    pub processed: BTreeMap<Key, Processed>,
    /// Its index of digests.
    digests: BTreeSet<(PipelineName, SourceName, SignatureDigest)>,
    /// `payments`: no unique constraint, so that a double shows.
    pub payments: Vec<Payment>,
    /// `orders`.
    pub orders: BTreeMap<String, OrderChange>,
    /// `dead_letters`, each with its state.
    pub letters: BTreeMap<(PipelineName, Key), (DeadLetter, String)>,
    /// `suspects`.
    pub suspects: BTreeMap<Key, u32>,
}

/// One row of `processed_webhooks`.
#[derive(Clone, Debug)]
pub struct Processed {
    pipeline: PipelineName,
    source: SourceName,
    /// The sender's name for the event.
    pub event_id: EventId,
    digest: Option<SignatureDigest>,
    body_sha256: BodyHash,
    /// The raw body.
    pub payload: Bytes,
    received_at: UnixMicros,
    processed_at: UnixMicros,
    at: Duration,
}

impl Processed {
    pub(super) fn of<E>(candidate: &Candidate<E>) -> Self {
        Self {
            pipeline: candidate.pipeline.clone(),
            source: candidate.source.clone(),
            event_id: candidate.event_id.clone(),
            digest: candidate.signature_digest,
            body_sha256: candidate.body_sha256,
            payload: candidate.payload.clone(),
            received_at: candidate.received_at,
            processed_at: clock::now(),
            at: clock::elapsed(),
        }
    }

    fn signature(&self) -> Option<(PipelineName, SourceName, SignatureDigest)> {
        Some((self.pipeline.clone(), self.source.clone(), self.digest?))
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
        clock::elapsed().saturating_sub(self.at)
    }
}

impl Tables {
    /// Inserts a row, unless its key or its digest is there.
    pub(super) fn insert(&mut self, key: Key, row: Processed) -> bool {
        let signature = row.signature();
        let is_known = signature
            .as_ref()
            .is_some_and(|it| self.digests.contains(it));
        if is_known || self.processed.contains_key(&key) {
            return false;
        }
        self.digests.extend(signature);
        self.processed.insert(key, row);
        true
    }

    /// Deletes a row.
    pub fn delete(&mut self, key: Key) -> Option<Processed> {
        let row = self.processed.remove(&key)?;
        if let Some(signature) = row.signature() {
            self.digests.remove(&signature);
        }
        Some(row)
    }

    /// How a candidate stands against what is there.
    pub(super) fn standing<E>(&self, candidate: &Candidate<E>) -> Standing {
        let own = self
            .processed
            .get(&candidate.key)
            .map(|row| row.body_sha256);
        let signature = Processed::of(candidate).signature();
        Standing::of_skipped(own, signature.is_some_and(|it| self.digests.contains(&it)))
    }

    /// Folds a change into its order, as the real ones do.
    pub(super) fn fold(&mut self, change: OrderChange) {
        let Some(order) = self.orders.get_mut(&change.order_id) else {
            self.orders.insert(change.order_id.clone(), change);
            return;
        };
        let applied_events = order.applied_events + change.applied_events;
        let amount_total = order.amount_total.saturating_add(change.amount_total);
        if (change.version, change.received_at) >= (order.version, order.received_at) {
            *order = change;
        }
        (order.applied_events, order.amount_total) = (applied_events, amount_total);
    }

    /// Files a dead letter.
    pub(super) fn file(&mut self, letter: DeadLetter) {
        self.suspects.remove(&letter.key);
        let body = BodyHash::of(&letter.payload);
        let applied = self.processed.get(&letter.key);
        let is_applied = applied.is_some_and(|row| row.body_sha256 == body);
        let state = if is_applied { "superseded" } else { "dead" };
        let place = (letter.pipeline.clone(), letter.key);
        match self.letters.get(&place) {
            Some((filed, _)) if filed.replays >= letter.replays => {}
            Some(_) | None => {
                self.letters.insert(place, (letter, state.to_owned()));
            }
        }
    }

    pub(super) fn starts(&self, key: Key) -> u32 {
        self.suspects.get(&key).copied().unwrap_or(0)
    }

    pub(super) fn look_up(&self, pipeline: &PipelineName, key: Key) -> Option<Found> {
        if let Some(row) = self.processed.get(&key) {
            let age = row.processed_at.since(row.received_at);
            let age_micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
            return Some(Found::Applied { age_micros });
        }
        let (letter, state) = self.letters.get(&(pipeline.clone(), key))?;
        (state == "dead").then(|| Found::Dead {
            reason: letter.reason.clone(),
            error: letter.error.clone(),
        })
    }

    /// Takes back what an event did, with the transaction that did it.
    pub fn forget_effects(&mut self, event_id: &EventId) {
        let (undone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.payments)
            .into_iter()
            .partition(|payment| payment.event_id == *event_id);
        self.payments = kept;
        for payment in undone {
            if let Some(order) = self.orders.get_mut(&payment.order_id) {
                order.applied_events -= 1;
                order.amount_total -= payment.amount;
            }
        }
    }

    /// Orders are witnesses of their payments.
    pub fn audit(&self, books: &Books) {
        for order in self.orders.values() {
            let payments = || {
                self.payments
                    .iter()
                    .filter(|payment| payment.order_id == order.order_id)
            };
            let total: i64 = payments().map(|payment| payment.amount).sum();
            let expected = (payments().count() as i64, total);
            let found = (order.applied_events, order.amount_total);
            if found != expected {
                let what = format!(
                    "order {} says {found:?}, its payments {expected:?}",
                    order.order_id
                );
                books.violate("exactly once in effect", what);
            }
        }
    }

    /// How often an event has had its effect.
    pub fn effects(&self, event_id: &EventId) -> usize {
        let its = self
            .payments
            .iter()
            .filter(|payment| payment.event_id == *event_id);
        its.count()
    }
}
