//! Reads deliveries: the broker's content becomes work, or a dead letter.

use crate::disposition::{Disposition, Held, Settlement};
use crate::run::Worker;
use broker::{Content, Delivery, Receipt};
use bytes::Bytes;
use envelope::{Attempt, BodyHash, Envelope, EventId, Foreign, Key, UnixMicros, Wire};
use ledger::{Candidate, Handler, Ledger};
use ops::config::ReplayGuard;
use resilience::{Fault, Reason};

/// A delivery whose body the handler has understood.
#[derive(Debug)]
pub(crate) struct Work<E> {
    pub(crate) candidate: Candidate<E>,
    pub(crate) held: Held,
}

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// Poison is found here, before there is a transaction it could spoil for its neighbours (I6).
    pub(crate) async fn intake(&self, batch: Vec<Delivery>) -> Vec<Work<H::Effect>> {
        let mut work = Vec::with_capacity(batch.len());
        let mut dead = Vec::new();
        for Delivery {
            content,
            receipt,
            // What it says was heeded before: see `suspects.rs`.
            delivery_count: _,
        } in batch
        {
            match content {
                Content::Event(envelope) => {
                    self.events.taken(&envelope);
                    match self.decode(&envelope) {
                        Ok(candidate) => work.push(Work {
                            candidate,
                            held: Held { envelope, receipt },
                        }),
                        Err(fault) => dead.push(self.poisoned(envelope, receipt, fault)),
                    }
                }
                Content::Foreign { wire, body, why } => {
                    dead.push(self.foreign(&wire, body, &why, receipt))
                }
            }
        }
        self.settle(dead).await;
        work
    }

    fn decode(&self, envelope: &Envelope) -> Result<Candidate<H::Effect>, Fault> {
        self.is_remembered(envelope)?;
        let effect = self.handler.decode(envelope)?;
        // Where the body carries the id, the signature covers it and cannot be replayed under another.
        let guarded = !self.handler.names_its_event(&effect)
            && self.guards.of(&envelope.source) != ReplayGuard::Off;
        let signature_digest = envelope.signature_digest.filter(|_| guarded);
        Ok(Candidate {
            key: envelope.key(&self.pipeline),
            pipeline: self.pipeline.clone(),
            source: envelope.source.clone(),
            event_id: envelope.event_id.clone(),
            signature_digest,
            body_sha256: BodyHash::of(&envelope.body),
            payload: envelope.body.clone(),
            received_at: envelope.received_at,
            attempt: envelope.attempt,
            effect,
        })
    }

    /// The row that would tell a duplicate may be gone.
    fn is_remembered(&self, envelope: &Envelope) -> Result<(), Fault> {
        if (self.now)().since(envelope.received_at) <= self.remembered {
            return Ok(());
        }
        Err(Fault::poison(
            Reason::BeyondRetention,
            "it was received longer ago than applied events are remembered",
        ))
    }

    pub(crate) fn poisoned(
        &self,
        envelope: Envelope,
        receipt: Receipt,
        fault: Fault,
    ) -> Settlement {
        let key = envelope.key(&self.pipeline);
        Settlement {
            key,
            held: Held { envelope, receipt },
            disposition: Disposition::DeadLetter(fault),
        }
    }

    /// Somebody else's message in our queue is kept as evidence.
    fn foreign(&self, wire: &Wire, body: Bytes, why: &Foreign, receipt: Receipt) -> Settlement {
        let names: Vec<&str> = wire.headers.keys().map(String::as_str).collect();
        let id = wire.message_id.as_deref().unwrap_or("none");
        let message = format!(
            "not a message of ours: {why} (message id {id}, headers: {})",
            names.join(", ")
        );
        self.poisoned(
            wrap(body, (self.now)()),
            receipt,
            Fault::poison(Reason::Foreign, message),
        )
    }
}

/// The dead queue takes envelopes; this one's names are made from its body, all there is to know it by.
fn wrap(body: Bytes, now: UnixMicros) -> Envelope {
    let event_id: EventId = Key::of_foreign(&body)
        .to_string()
        .parse()
        .expect("hexadecimal digits are an id");
    Envelope {
        event_id,
        source: "foreign".parse().expect("a name of ours"),
        body,
        content_type: None,
        received_at: now,
        signed_at: None,
        signature_digest: None,
        attempt: Attempt::FIRST,
        parked: 0,
        replays: 0,
        note: None,
        traceparent: None,
    }
}
