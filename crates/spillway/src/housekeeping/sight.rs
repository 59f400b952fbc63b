//! What one look shows of a pipeline: its queues by the broker's word, its workers by their pulses.

use crate::reconcile::Fleet;
use broker::{Broker, Look, LookError, QueueName};
use envelope::{PipelineName, UnixMicros};
use resilience::{RETRY_DELAYS, Seen};
use std::time::{Duration, Instant, SystemTime};

/// A breaker in any other state is open, or asks its one probe.
const CLOSED: &str = "closed";

/// One look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) at: Instant,
    pub(super) ready: u64,
    pub(super) unacked: u64,
    pub(super) parked: u64,
    /// In the dead queue, where nobody but this look sees them yet.
    pub(super) unarchived: u64,
    pub(super) workers: u64,
    /// When the oldest event that somebody has in hand was received.
    oldest_in_hand: Option<UnixMicros>,
    /// For the policy; nothing where there are consumers and not one of them was heard of: whether a breaker
    /// is open is unknown then.
    pub(super) seen: Option<Seen>,
}

impl Sight {
    /// Looks, and says what lies ready in each queue.
    pub(super) async fn take(
        broker: &Broker,
        fleet: &Fleet,
        pipeline: &PipelineName,
    ) -> Result<(Self, Vec<(QueueName, u64)>), LookError> {
        let queues = queues_of(pipeline);
        let looks = broker.look(&queues).await?;
        let sight = Self::of(fleet, &queues, &looks, Instant::now());
        let ready = looks.iter().map(|look| look.ready);
        Ok((sight, queues.into_iter().zip(ready).collect()))
    }

    /// The main queue comes first, then the dead one.
    fn of(fleet: &Fleet, queues: &[QueueName], looks: &[Look], now: Instant) -> Self {
        let [main, dead, retries @ ..] = looks else {
            unreachable!("a look for each queue")
        };
        let main_queue = queues[0].as_str();
        let members = || fleet.at(main_queue, now).map(|member| &member.pulse);
        let in_pulses = members().map(|pulse| pulse.unacked).sum();
        let unacked = main.unacked.unwrap_or(in_pulses);
        let in_retry: u64 = retries.iter().map(|look| look.ready).sum();
        let delayed: u64 = looks.iter().filter_map(|look| look.delayed).sum();
        let consumers = main.consumers.unwrap_or(0);
        let is_broken = |state: &String| state != CLOSED;
        let seen = Seen {
            backlog: main.ready + unacked,
            is_complete: consumers <= fleet.consumers(main_queue, now),
            is_breaker_open: members().any(|pulse| pulse.breakers.values().any(is_broken)),
        };
        let is_anybody_heard = consumers == 0 || members().next().is_some();
        Self {
            at: now,
            ready: main.ready,
            unacked,
            parked: in_retry + delayed,
            unarchived: dead.ready + dead.unacked.unwrap_or(0),
            workers: members().count() as u64,
            oldest_in_hand: fleet.oldest_in_hand(main_queue, now),
            seen: is_anybody_heard.then_some(seen),
        }
    }

    /// Since when the oldest event waits. What is in hand is older than what is not: the queue is in order. With
    /// empty hands, the events came after the queue was last seen empty.
    pub(super) fn oldest_age(&self, empty_at: Instant) -> Duration {
        match self.oldest_in_hand {
            Some(received_at) => {
                let received_at =
                    SystemTime::UNIX_EPOCH + Duration::from_micros(received_at.0.max(0) as u64);
                // The door's clock may be ahead of ours.
                received_at.elapsed().unwrap_or(Duration::ZERO)
            }
            None if self.ready == 0 => Duration::ZERO,
            None => self.at.duration_since(empty_at),
        }
    }
}

#[cfg(test)]
impl Sight {
    pub(super) fn for_tests(ready: u64, unacked: u64, parked: u64, workers: u64) -> Self {
        Self {
            at: Instant::now(),
            ready,
            unacked,
            parked,
            unarchived: 0,
            workers,
            oldest_in_hand: None,
            seen: None,
        }
    }
}

fn queues_of(pipeline: &PipelineName) -> Vec<QueueName> {
    let retry = |delay| QueueName::retry(pipeline, delay);
    let mut queues = vec![QueueName::main(pipeline), QueueName::dead(pipeline)];
    queues.extend(RETRY_DELAYS.into_iter().map(retry));
    queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Pulse;
    use std::collections::BTreeMap;

    fn pipeline() -> PipelineName {
        "payments".parse().unwrap()
    }

    fn pulse(worker: &str, unacked: u64, breaker: &str) -> Pulse {
        let now = UnixMicros::from(SystemTime::now());
        Pulse {
            worker: worker.to_owned(),
            pipeline: pipeline(),
            queue: QueueName::main(&pipeline()).to_string(),
            at: now,
            unacked,
            oldest_received_at: (unacked > 0).then_some(UnixMicros(now.0 - 30_000_000)),
            taken_total: 0,
            consumers: 1,
            busy: 0.0,
            breakers: BTreeMap::from([("ledger".to_owned(), breaker.to_owned())]),
        }
    }

    /// With these pulses, and a RabbitMQ that tells of `ready` events and `consumers`.
    fn sight(pulses: &[Pulse], ready: u64, consumers: u64) -> Sight {
        let (mut fleet, now) = (Fleet::default(), Instant::now());
        pulses
            .iter()
            .for_each(|pulse| fleet.hear(pulse.clone(), now));
        let look = |ready, consumers| Look {
            ready,
            consumers: Some(consumers),
            ..Look::default()
        };
        let queues = queues_of(&pipeline());
        let mut looks = vec![look(ready, consumers), look(2, 1)];
        looks.extend(RETRY_DELAYS.map(|_| look(3, 0)));
        Sight::of(&fleet, &queues, &looks, now)
    }

    #[test]
    fn what_is_in_hand_counts_and_what_is_parked_does_not() {
        let seen = sight(&[pulse("a", 300, CLOSED), pulse("b", 200, CLOSED)], 700, 2);
        assert_eq!((seen.ready, seen.unacked, seen.parked), (700, 500, 15));
        assert_eq!((seen.workers, seen.unarchived), (2, 2));
        let expected = Seen {
            backlog: 1_200,
            is_complete: true,
            is_breaker_open: false,
        };
        assert_eq!(seen.seen, Some(expected));
    }

    #[test]
    fn one_open_breaker_is_seen_and_a_consumer_nobody_tells_of_is_missed() {
        let broken = sight(&[pulse("a", 0, CLOSED), pulse("b", 0, "half_open")], 0, 2);
        assert!(broken.seen.unwrap().is_breaker_open);
        let foreign = sight(&[pulse("a", 0, CLOSED)], 0, 2);
        assert!(!foreign.seen.unwrap().is_complete);
        assert_eq!(sight(&[], 5_000, 2).seen, None, "nobody was heard");
        assert_eq!(sight(&[], 5_000, 0).seen.unwrap().backlog, 5_000);
    }

    #[test]
    fn the_oldest_waits_in_a_hand_or_since_the_queue_was_empty() {
        let now = Instant::now();
        let age = |sight: &Sight| sight.oldest_age(now - Duration::from_secs(90)).as_secs();
        assert_eq!(age(&sight(&[pulse("a", 1, CLOSED)], 5, 1)), 30);
        assert_eq!(age(&sight(&[], 5, 0)), 90);
        assert_eq!(age(&sight(&[pulse("a", 0, CLOSED)], 0, 1)), 0);
    }
}
