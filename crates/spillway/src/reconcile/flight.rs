//! What may still be in flight, by DESIGN's definition and no other grace: an event without a row is in flight
//! until its pipeline has been seen drained since it was accepted, or, under unbroken load, until everything
//! in hand is a minute newer. The embedded broker is simply asked.

use super::fleet::Fleet;
use super::obligation::Obligation;
use super::pass::Missing;
use anyhow::Context;
use broker::{Broker, Look, QueueName, Topology};
use envelope::{PipelineName, UnixMicros};
use resilience::RETRY_DELAYS;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Under load: everything in hand is so much newer than an event that has left the queue.
const NEWER: i64 = 60_000_000;

/// The journal may show an event a moment before its queue does: both take it from one exchange.
const BETWEEN_JOURNAL_AND_QUEUE: Duration = Duration::from_secs(2);

/// A pulse a second, and one that is late.
const PULSES_TIMEOUT: Duration = Duration::from_secs(3);

/// What one look has shown of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Events lie somewhere, or somebody's hands are not known to be empty.
    Busy,
    /// Everything was empty at one moment.
    Drained,
    /// Only the main queue and hands hold events, and all in hand were received after this.
    NewerThan(UnixMicros),
}

/// A pipeline, looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    began: Instant,
    sight: Sight,
}

/// Looks at the broker and listens to pulses.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    broker: Broker,
    fleet: Arc<Mutex<Fleet>>,
}

impl Observer {
    /// Listens from now on, until the broker's client side stops.
    pub(crate) fn start(broker: Broker) -> Self {
        let fleet = Arc::<Mutex<Fleet>>::default();
        let (mut pulses, heard) = (broker.pulses(), fleet.clone());
        tokio::spawn(async move {
            while let Some(pulse) = pulses.next().await {
                lock(&heard).hear(pulse, Instant::now());
            }
        });
        Self { broker, fleet }
    }

    /// Who is there now.
    pub(crate) fn fleet(&self) -> Fleet {
        lock(&self.fleet).clone()
    }

    /// Looks at every pipeline once. Takes as long as every worker needs for its next pulse.
    pub(crate) async fn look(
        &self,
        topology: &Topology,
    ) -> anyhow::Result<BTreeMap<PipelineName, Seen>> {
        let mut seen = BTreeMap::new();
        for name in topology.pipelines.iter().map(|pipeline| &pipeline.name) {
            seen.insert(name.clone(), self.look_at(queues_of(name)).await?);
        }
        let unrouted = vec![QueueName::unrouted()];
        seen.insert(super::obligation::unrouted(), self.look_at(unrouted).await?);
        Ok(seen)
    }

    async fn look_at(&self, queues: Vec<QueueName>) -> anyhow::Result<Seen> {
        let names: Vec<String> = queues.iter().map(ToString::to_string).collect();
        let (began, before) = (Instant::now(), self.fleet().only(&names));
        let looks = self
            .broker
            .look(&queues)
            .await
            .context("cannot look at the queues")?;
        let ended = Instant::now();
        let is_known = |(queue, look): (&String, &Look)| {
            look.consumers.unwrap_or(0) <= before.consumers(queue, began)
        };
        let all_known = names.iter().zip(&looks).all(is_known);
        let sight = if !all_known {
            Sight::Busy
        } else if looks.iter().all(is_empty) && self.was_idle(&before, &names, ended).await {
            Sight::Drained
        } else {
            newer_than(&before, &names, &looks, began)
        };
        Ok(Seen { began, sight })
    }

    async fn was_idle(&self, before: &Fleet, names: &[String], ended: Instant) -> bool {
        while ended.elapsed() < PULSES_TIMEOUT {
            if let Some(idle) = self.fleet().only(names).was_idle(before, ended) {
                return idle;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Whether the broker itself says that these are still with it; nothing where it cannot tell.
    pub(crate) async fn holds(&self, missing: &[Missing]) -> anyhow::Result<Option<Vec<bool>>> {
        let name =
            |Missing { obligation: it, .. }: &Missing| (it.source.clone(), it.event_id.clone());
        let events: Vec<_> = missing.iter().map(name).collect();
        self.broker
            .holds(&events)
            .await
            .context("cannot ask the broker for events")
    }
}

impl Seen {
    /// Whether this look proves that an event is no longer in flight, which was read in the journal at
    /// `read_at` and has no row after the look.
    pub(crate) fn excludes(&self, obligation: &Obligation, read_at: Instant) -> bool {
        let came_before = read_at + BETWEEN_JOURNAL_AND_QUEUE <= self.began;
        came_before
            && match self.sight {
                Sight::Busy => false,
                Sight::Drained => true,
                Sight::NewerThan(moment) => obligation.received_at < moment,
            }
    }
}

/// The queues of a pipeline in the order in which a delayed event moves through them, so that one that moves
/// while we look is met in the next.
fn queues_of(pipeline: &PipelineName) -> Vec<QueueName> {
    let retry = |delay| QueueName::retry(pipeline, delay);
    let mut queues: Vec<_> = RETRY_DELAYS.into_iter().map(retry).collect();
    queues.extend([
        QueueName::main(pipeline),
        QueueName::dead(pipeline),
        QueueName::unrouted(),
    ]);
    queues
}

fn is_empty(look: &Look) -> bool {
    look.ready == 0 && look.unacked.unwrap_or(0) == 0 && look.delayed.unwrap_or(0) == 0
}

/// Under unbroken load the main queue is never empty. It is in order, so what lies in it is newer than what is
/// in hand; everything else has to be empty.
fn newer_than(fleet: &Fleet, names: &[String], looks: &[Look], now: Instant) -> Sight {
    let main = RETRY_DELAYS.len();
    let others = looks.iter().enumerate().filter(|(at, _)| *at != main);
    let idle = |name: &String| fleet.oldest_in_hand(name, now).is_none();
    let others_idle = names
        .iter()
        .enumerate()
        .all(|(at, name)| at == main || idle(name));
    let oldest = names
        .get(main)
        .and_then(|name| fleet.oldest_in_hand(name, now));
    match oldest {
        Some(oldest) if others_idle && others.map(|(_, look)| look).all(is_empty) => {
            Sight::NewerThan(UnixMicros(oldest.0.saturating_sub(NEWER)))
        }
        Some(_) | None => Sight::Busy,
    }
}

fn lock(fleet: &Mutex<Fleet>) -> MutexGuard<'_, Fleet> {
    fleet.lock().unwrap_or_else(PoisonError::into_inner)
}
