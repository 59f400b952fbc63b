//! Who has events in hand, by their pulses. Pure: the time is passed in (I10).

use broker::Pulse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Silent for so long, it is gone.
const GONE_AFTER: Duration = Duration::from_secs(5);

/// Everybody heard of lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet(BTreeMap<Name, Member>);

/// A worker, or an archiver, and the queue it takes from.
type Name = (String, String);

/// The last that was heard of one.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) pulse: Pulse,
    heard_at: Instant,
}

impl Fleet {
    /// A pulse came.
    pub(crate) fn hear(&mut self, pulse: Pulse, now: Instant) {
        self.0
            .retain(|_, member| now < member.heard_at + GONE_AFTER);
        let name = (pulse.worker.clone(), pulse.queue.clone());
        let heard_at = now;
        self.0.insert(name, Member { pulse, heard_at });
    }

    /// Those who take from this queue and were heard of in time.
    pub(crate) fn at(&self, queue: &str, now: Instant) -> impl Iterator<Item = &Member> {
        let living = move |member: &&Member| now < member.heard_at + GONE_AFTER;
        let here = move |member: &&Member| member.pulse.queue == queue;
        self.0.values().filter(living).filter(here)
    }

    /// How many consumers of a queue have told of themselves.
    pub(crate) fn consumers(&self, queue: &str, now: Instant) -> u64 {
        self.at(queue, now)
            .map(|member| member.pulse.consumers)
            .sum()
    }

    /// When the oldest event in anybody's hands was received; nothing where all hands are empty.
    pub(crate) fn oldest_in_hand(&self, queue: &str, now: Instant) -> Option<envelope::UnixMicros> {
        let oldest = |member: &Member| member.pulse.oldest_received_at;
        self.at(queue, now).filter_map(oldest).min()
    }

    /// Whether nobody held anything of these queues from before a look, at which the fleet was `before`, until
    /// after it had `ended`; nothing while somebody has not been heard of since.
    ///
    /// Empty hands that took nothing stay empty, so nothing moved between the queues but what their delays
    /// let go.
    pub(crate) fn was_idle(&self, before: &Self, ended: Instant) -> Option<bool> {
        let mut idle = true;
        for (name, then) in &before.0 {
            match self.0.get(name) {
                Some(now) if now.heard_at > ended => {
                    let took = now.pulse.taken_total != then.pulse.taken_total;
                    idle &= then.pulse.unacked == 0 && !took;
                }
                // Gone, perhaps with its hands full: the broker gives those events to somebody else.
                None => return Some(false),
                Some(_) => return None,
            }
        }
        // Whoever came in between may have taken what was there.
        Some(idle && self.0.keys().all(|name| before.0.contains_key(name)))
    }

    /// The part of the fleet that takes from these queues.
    pub(crate) fn only(&self, queues: &[String]) -> Self {
        let members = self
            .0
            .iter()
            .filter(|((_, queue), _)| queues.contains(queue));
        Self(
            members
                .map(|(name, member)| (name.clone(), member.clone()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(worker: &str, unacked: u64, taken_total: u64) -> Pulse {
        Pulse {
            worker: worker.to_owned(),
            pipeline: "payments".parse().unwrap(),
            queue: "q".to_owned(),
            at: envelope::UnixMicros(0),
            unacked,
            oldest_received_at: (unacked > 0).then_some(envelope::UnixMicros(7)),
            taken_total,
            consumers: 1,
            busy: 0.0,
            breakers: BTreeMap::new(),
        }
    }

    fn heard(fleet: &Fleet, pulses: &[Pulse], now: Instant) -> Fleet {
        let mut fleet = fleet.clone();
        pulses
            .iter()
            .for_each(|pulse| fleet.hear(pulse.clone(), now));
        fleet
    }

    #[test]
    fn hands_that_were_empty_and_took_nothing_were_idle() {
        let start = Instant::now();
        let (look, after) = (
            start + Duration::from_millis(500),
            start + Duration::from_secs(1),
        );
        let before = heard(
            &Fleet::default(),
            &[pulse("a", 0, 5), pulse("b", 0, 9)],
            start,
        );
        let check = |then: &[Pulse], expected| {
            assert_eq!(
                heard(&before, then, after).was_idle(&before, look),
                expected,
                "{then:?}"
            );
        };
        check(&[pulse("a", 0, 5), pulse("b", 0, 9)], Some(true));
        check(&[pulse("a", 0, 5)], None);
        check(&[pulse("a", 0, 6), pulse("b", 0, 9)], Some(false));
        check(
            &[pulse("a", 0, 5), pulse("b", 0, 9), pulse("c", 0, 0)],
            Some(false),
        );
        let full = heard(&before, &[pulse("a", 1, 5)], start);
        let then = heard(&full, &[pulse("a", 0, 5), pulse("b", 0, 9)], after);
        assert_eq!(then.was_idle(&full, look), Some(false));
    }

    #[test]
    fn who_is_silent_for_five_seconds_is_gone() {
        let start = Instant::now();
        let fleet = heard(
            &Fleet::default(),
            &[pulse("a", 3, 5), pulse("b", 0, 0)],
            start,
        );
        assert_eq!(fleet.consumers("q", start), 2);
        assert_eq!(
            fleet.oldest_in_hand("q", start),
            Some(envelope::UnixMicros(7))
        );
        assert_eq!(fleet.consumers("q", start + GONE_AFTER), 0);
        let later = start + Duration::from_secs(6);
        let without = heard(&fleet, &[pulse("b", 0, 0)], later);
        assert_eq!(without.was_idle(&fleet, start), Some(false));
    }
}
