//! What one transaction does: publishes in, endings in, deliveries out.
//!
//! No thread and no waiting here: `thread.rs` says when, this says what.

use super::change::Change;
use super::dispatch::{Dispatch, Plan};
use super::route::{Place, Route, Routes, queues};
use super::schema::OpenError;
use super::store::{ChangeError, Durability, EventRow, QueueId, Store};
use crate::{Journal, PublishError, PublishRequest, QueueName, Topology};
use envelope::{Envelope, UnixMicros};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Joins its queue at most in one transaction; the rest follows in the next.
const DUE_MAX: usize = 512;

/// Leaves the journal at most in one transaction, beside twice what it enters: the journal shrinks faster
/// than it grows, and nobody waits for a day's worth to be erased.
const PRUNED_MAX: usize = 64;

/// The one that writes to the file.
#[derive(Debug)]
pub(super) struct Writer {
    store: Store,
    routes: Routes,
    journal: Journal,
    queues: HashMap<QueueName, QueueId>,
    pub dispatch: Dispatch,
    next_due: Option<UnixMicros>,
    version: i64,
}

/// A moment on both clocks.
///
/// What outlives the process is measured on the wall; what waits within it, on the steady one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub wall: UnixMicros,
    pub steady: Instant,
}

/// A publish that has somewhere to go.
#[derive(Debug)]
pub(super) struct Routed {
    pub request: PublishRequest,
    pub route: Route,
}

impl Writer {
    /// Opens the file and declares the topology in it. Whatever was in somebody's hands is ready again.
    pub fn open(path: &Path, topology: &Topology) -> Result<Self, OpenError> {
        let mut store = Store::open(path)?;
        let declared = store.change(Durability::Process, |change| {
            change.note_all_released()?;
            let declare = |queue| Ok((change.declare(&queue)?, queue));
            let declared: rusqlite::Result<Vec<_>> = queues(topology).map(declare).collect();
            Ok((declared?, change.next_due()?))
        });
        let (declared, next_due) = declared?;
        let queues: HashMap<_, _> = declared.into_iter().map(|(id, name)| (name, id)).collect();
        let version = store.version()?;
        Ok(Self {
            store,
            routes: Routes::of(topology, |queue| queues[queue]),
            // A journal that is not kept any more is one without room.
            journal: topology.journal.unwrap_or(Journal {
                max_age: Duration::ZERO,
                max_bytes: 0,
            }),
            queues,
            dispatch: Dispatch::default(),
            next_due,
            version,
        })
    }

    /// The number of a queue of the topology.
    pub fn queue(&self, name: &QueueName) -> Option<QueueId> {
        self.queues.get(name).copied()
    }

    /// Where a request goes, if there is such a place.
    pub fn route(&self, request: &PublishRequest) -> Option<Route> {
        self.routes.route(&request.to, &request.envelope.source)
    }

    /// Whether there is anything to do but publishes.
    pub fn has_work(&mut self, now: Now) -> bool {
        self.dispatch.forgive(now.steady);
        self.dispatch.has_work() || self.next_due.is_some_and(|due| due <= now.wall)
    }

    /// How long nothing will be due that is not announced.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        let delayed = self.next_due.map(|due| due.since(now.wall));
        let shunned = self.dispatch.next_forgiven();
        let shunned = shunned.map(|at| at.saturating_duration_since(now.steady));
        delayed.into_iter().chain(shunned).min()
    }

    /// Writes down publishes and endings, and hands out what there is, in one transaction. When it returns,
    /// every publish has its verdict.
    ///
    /// Where it fails, none of it has happened as far as we know, and all but the publishes is tried again
    /// with the next one.
    pub fn write(&mut self, publishes: Vec<Routed>, now: Now) -> Result<(), ChangeError> {
        self.dispatch.collect_endings(now.steady);
        match self.commit(&publishes, now) {
            Ok(plan) => {
                // Here, and nowhere else, is an event of the embedded broker confirmed (I1).
                publishes
                    .into_iter()
                    .for_each(|publish| publish.request.confirm());
                self.dispatch.carry_out(plan);
                Ok(())
            }
            Err(error) => {
                let verdict = verdict(&error);
                publishes
                    .into_iter()
                    .for_each(|publish| publish.request.refuse(verdict));
                Err(error)
            }
        }
    }

    /// Once it returns Ok, the publishes are on the disk.
    fn commit(&mut self, publishes: &[Routed], now: Now) -> Result<Plan, ChangeError> {
        // An ack needs no fsync of its own: losing it is a redelivery.
        let durability = match publishes {
            [] => Durability::Process,
            [_, ..] => Durability::Machine,
        };
        let (dispatch, journal) = (&mut self.dispatch, self.journal);
        let (plan, next_due) = self.store.change(durability, |change| {
            for publish in publishes {
                dispatch.filled(place(change, publish, dispatch, now.wall)?);
            }
            dispatch.filled(change.join_due(now.wall, DUE_MAX)?);
            dispatch.erase_acked(change)?;
            let plan = dispatch.plan(change)?;
            change.prune(journal, now.wall, PRUNED_MAX + 2 * publishes.len())?;
            Ok((plan, change.next_due()?))
        })?;
        self.next_due = next_due;
        Ok(plan)
    }

    /// Looks whether another process has written something, which may be for any queue or due at any time.
    /// If so, there is work.
    pub fn look_for_others(&mut self) -> rusqlite::Result<()> {
        let version = self.store.version()?;
        if version != self.version {
            self.version = version;
            self.dispatch.all_filled();
            self.next_due = Some(UnixMicros(0));
        }
        Ok(())
    }

    /// Whether the disk takes an event again.
    pub fn probe(&mut self) -> Result<(), ChangeError> {
        self.store
            .change(Durability::Machine, |change| change.probe())
    }

    /// Lets every consumer go and brings everything into the file itself.
    pub fn finish(&mut self) -> Result<(), ChangeError> {
        self.dispatch.abandon();
        self.store
            .change(Durability::Process, |change| change.note_all_released())?;
        self.store.checkpoint().map_err(ChangeError::Unwritten)
    }

    #[cfg(test)]
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// What a publisher is told of a transaction that failed.
pub(super) fn verdict(error: &ChangeError) -> PublishError {
    match error {
        ChangeError::Unwritten(_) => PublishError::Refused,
        ChangeError::Unknown(_) => PublishError::NoVerdict,
    }
}

/// Stores an event and puts it where it goes; returns the queues that have something new.
pub(super) fn place(
    change: &Change<'_>,
    publish: &Routed,
    dispatch: &Dispatch,
    now: UnixMicros,
) -> rusqlite::Result<Vec<QueueId>> {
    let (event, own_wire) = store(change, publish, dispatch, now)?;
    let mut filled = Vec::new();
    for place in &publish.route.places {
        match place {
            Place::Queue(queue) => {
                change.queue(*queue, event, own_wire.as_deref())?;
                filled.push(*queue);
            }
            Place::Later(queue, delay) => {
                let micros = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
                let due_at = UnixMicros(now.0.saturating_add(micros));
                change.delay(*queue, event, own_wire.as_deref(), due_at)?;
            }
        }
    }
    Ok(filled)
}

/// Stores an event, or finds the one of which it is a copy: what is published while its original is still in
/// somebody's hands (publish, confirm, ack: I7) refers to the body that is there, with headers of its own.
fn store(
    change: &Change<'_>,
    publish: &Routed,
    dispatch: &Dispatch,
    now: UnixMicros,
) -> rusqlite::Result<(EventRow, Option<String>)> {
    let envelope = &publish.request.envelope;
    let wire = to_json(envelope)?;
    let journaled = publish.route.journaled;
    let original = if journaled {
        None
    } else {
        dispatch.lent(&envelope.body)
    };
    if let Some(original) = original {
        return Ok((original, Some(wire)));
    }
    let event = change.store(&wire, &envelope.body)?;
    if journaled {
        change.journal(event, now, wire.len() + envelope.body.len())?;
    }
    Ok((event, None))
}

fn to_json(envelope: &Envelope) -> rusqlite::Result<String> {
    serde_json::to_string(&envelope.to_wire())
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
