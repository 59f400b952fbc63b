//! Archives dead letters: from their queue into `dead_letters`, where a person can see them.
//!
//! Archive → commit → ack (I7): while the ledger is away the letters stay in the queue.

use broker::{Consumer, Content, Delivery, Receipt};
use envelope::{DeadLetterNote, Envelope, Key, PipelineName, UnixMicros, Wire};
use ledger::{DeadLetter, Ledger};
use resilience::{Backoff, Class, Fault, Reason};
use std::time::{Duration, SystemTime};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Letters in hand, and in one transaction.
pub(crate) const PREFETCH: u16 = 64;
const LAST_ACKS_TIMEOUT: Duration = Duration::from_secs(3);

/// Which queue the letters come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// The dead queue of a pipeline.
    Dead(PipelineName),
    /// Events no pipeline takes.
    Unrouted,
}

/// Archives until `stop`, then finishes what is in hand and returns.
pub(crate) async fn run<L: Ledger>(
    ledger: L,
    origin: Origin,
    mut consumer: Consumer,
    stop: CancellationToken,
) {
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            batch = consumer.next_batch(PREFETCH.into()) => batch,
        };
        let Some(batch) = batch else { break };
        archive(&ledger, &origin, batch, &stop).await;
    }
    // What could not be acked comes again and finds its letter filed.
    let _ = timeout(LAST_ACKS_TIMEOUT, consumer.close()).await;
}

async fn archive<L: Ledger>(
    ledger: &L,
    origin: &Origin,
    batch: Vec<Delivery>,
    stop: &CancellationToken,
) {
    let now = UnixMicros::from(SystemTime::now());
    let (letters, receipts): (Vec<DeadLetter>, Vec<Receipt>) = batch
        .into_iter()
        .map(|delivery| (letter(origin, delivery.content, now), delivery.receipt))
        .unzip();
    match file(ledger, &letters, stop).await {
        Ok(()) => {
            info!("archived {} dead letters", letters.len());
            failpoints::crash("archive.between_commit_and_ack");
            receipts.into_iter().for_each(Receipt::ack);
        }
        Err(_) if letters.len() > 1 => {
            // One letter the ledger refuses must not keep its neighbours out (I6).
            for (letter, receipt) in letters.iter().zip(receipts) {
                if file(ledger, std::slice::from_ref(letter), stop)
                    .await
                    .is_ok()
                {
                    receipt.ack();
                }
            }
        }
        // Dropping the receipt leaves it in its queue: the safe place.
        Err(why) => warn!("a dead letter stays in its queue: {why}"),
    }
}

/// Waits for a ledger that is away; gives up on a fault of the letters, and when told to stop.
async fn file<L: Ledger>(
    ledger: &L,
    letters: &[DeadLetter],
    stop: &CancellationToken,
) -> Result<(), Fault> {
    let mut failures = 0;
    loop {
        failpoints::crash("archive.before_commit");
        let fault = match ledger.archive(letters).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        match fault.class {
            Class::Ours | Class::Contention => {
                warn!("cannot archive dead letters, trying again: {fault}")
            }
            Class::Passing | Class::Poison => return Err(fault),
        }
        tokio::select! {
            () = sleep(Backoff::RECONNECT.wait(failures, fastrand::f64())) => failures += 1,
            () = stop.cancelled() => return Err(fault),
        }
    }
}

fn letter(origin: &Origin, content: Content, now: UnixMicros) -> DeadLetter {
    match content {
        Content::Event(envelope) if !is_foreign(&envelope) => of_event(origin, &envelope, now),
        Content::Event(envelope) => {
            let error = envelope
                .note
                .as_ref()
                .map_or("", |note| note.error.as_str());
            of_foreign(origin, envelope.to_wire(), &envelope.body, error, now)
        }
        Content::Foreign { wire, body, why } => {
            of_foreign(origin, wire, &body, &why.to_string(), now)
        }
    }
}

/// A worker has wrapped somebody else's message: its names were made up from its body.
fn is_foreign(envelope: &Envelope) -> bool {
    envelope
        .note
        .as_ref()
        .is_some_and(|note| note.reason == Reason::Foreign.as_str())
}

fn of_event(origin: &Origin, envelope: &Envelope, now: UnixMicros) -> DeadLetter {
    let pipeline = origin.pipeline();
    let note = envelope.note.as_ref();
    let text = |text: Option<&str>, otherwise: &str| text.unwrap_or(otherwise).to_owned();
    DeadLetter {
        key: key(envelope, &pipeline),
        pipeline,
        replays: envelope.replays,
        event_id: Some(envelope.event_id.clone()),
        source: Some(envelope.source.clone()),
        reason: text(
            note.map(|note| note.reason.as_str()),
            origin.reason().as_str(),
        ),
        class: text(note.map(|note| note.class.as_str()), Class::Poison.as_str()),
        error: text(note.map(|note| note.error.as_str()), origin.explanation()),
        attempts: envelope.attempt.number(),
        payload: envelope.body.clone(),
        headers: envelope.to_wire(),
        first_seen: envelope.received_at,
        dead_at: now,
    }
}

/// Whoever holds a captured request can send it under any number of ids; each would be a letter.
fn key(envelope: &Envelope, pipeline: &PipelineName) -> Key {
    let is_replayed = |note: &&DeadLetterNote| note.reason == Reason::ReplayedSignature.as_str();
    let replayed = envelope.note.as_ref().filter(is_replayed);
    match replayed.and(envelope.signature_digest) {
        Some(digest) => Key::of_replayed(pipeline, &envelope.source, &digest),
        None => envelope.key(pipeline),
    }
}

fn of_foreign(
    origin: &Origin,
    wire: Wire,
    body: &[u8],
    error: &str,
    now: UnixMicros,
) -> DeadLetter {
    DeadLetter {
        pipeline: origin.pipeline(),
        key: Key::of_foreign(body),
        replays: 0,
        event_id: None,
        source: None,
        reason: Reason::Foreign.as_str().to_owned(),
        class: Class::Poison.as_str().to_owned(),
        error: error.to_owned(),
        attempts: 0,
        payload: body.to_vec().into(),
        headers: wire,
        first_seen: now,
        dead_at: now,
    }
}

impl Origin {
    /// The name its letters are filed under.
    pub(crate) fn pipeline(&self) -> PipelineName {
        match self {
            Self::Dead(pipeline) => pipeline.clone(),
            Self::Unrouted => "unrouted".parse().expect("a name of ours"),
        }
    }

    /// For a letter that carries no note: someone else than a worker has put it there.
    fn reason(&self) -> Reason {
        match self {
            Self::Dead(_) => Reason::Foreign,
            Self::Unrouted => Reason::Unrouted,
        }
    }

    fn explanation(&self) -> &'static str {
        match self {
            Self::Dead(_) => "put into the dead queue without a reason, by the broker or by hand",
            Self::Unrouted => "no pipeline takes events of this source",
        }
    }
}
