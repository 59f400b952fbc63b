//! What becomes of a delivery: one pure table (I3).

use broker::Receipt;
use envelope::{Envelope, Key, UnixMicros};
use ledger::{Applied, Verdict};
use resilience::{Class, Fault, Reason, retry_delay};
use std::time::Duration;

/// A delivery in our hands: what it holds, and the way to end it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) envelope: Envelope,
    pub(crate) receipt: Receipt,
}

/// A delivery with its ending decided.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) key: Key,
    pub(crate) held: Held,
    pub(crate) disposition: Disposition,
}

/// The endings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// The ledger holds it (I2). `fresh`: this commit applied it.
    Ack { proof: Applied, fresh: bool },
    /// Again after a delay, one attempt spent.
    Retry(Duration, Fault),
    /// Again after a second, no attempt spent.
    Park,
    /// Given up.
    DeadLetter(Fault),
    /// Back to the broker, untouched.
    Release,
}

/// How a copy in the same batch is related to its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The leader itself.
    Leader,
    /// The same key and the same body.
    Same,
    /// The same key, another body.
    OtherBody,
    /// Another key, and the leader's signature digest.
    OtherId,
}

/// How long an event may be parked: a day is longer than any outage that parks, and shorter than any
/// retention.
const PARKED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What becomes of a delivery whose leader has this verdict.
///
/// A copy shares the leader's proof only where it is the same; what else it is can be said only once the
/// leader is known to be in the ledger. Otherwise it is looked at again, on its own, a second later.
pub(crate) fn after_verdict(verdict: Verdict, relation: Relation) -> Disposition {
    match (verdict, relation) {
        (Verdict::Applied(proof), Relation::Leader) => Disposition::Ack { proof, fresh: true },
        (Verdict::Applied(proof), Relation::Same)
        | (Verdict::Duplicate(proof), Relation::Leader | Relation::Same) => Disposition::Ack {
            proof,
            fresh: false,
        },
        (Verdict::Applied(_) | Verdict::Duplicate(_), Relation::OtherBody)
        | (Verdict::ConflictingBody, Relation::Leader | Relation::Same) => {
            Disposition::DeadLetter(Fault::poison(
                Reason::ConflictingBody,
                "this event id was applied before with another body",
            ))
        }
        (Verdict::Applied(_) | Verdict::Duplicate(_), Relation::OtherId)
        | (Verdict::ReplayedSignature, Relation::Leader | Relation::Same) => {
            Disposition::DeadLetter(Fault::poison(
                Reason::ReplayedSignature,
                "the same signed bytes were applied before under another event id",
            ))
        }
        (
            Verdict::ConflictingBody | Verdict::ReplayedSignature,
            Relation::OtherBody | Relation::OtherId,
        )
        | (
            Verdict::Undecided,
            Relation::Leader | Relation::Same | Relation::OtherBody | Relation::OtherId,
        ) => Disposition::Park,
    }
}

/// What becomes of a delivery whose leader failed.
pub(crate) fn after_fault(fault: Fault, relation: Relation, attempt: u16) -> Disposition {
    match (fault.class, relation) {
        // Whoever waits for a dependency gave up waiting because we stop: somebody else will do it.
        (
            Class::Ours,
            Relation::Leader | Relation::Same | Relation::OtherBody | Relation::OtherId,
        ) => Disposition::Release,
        (
            Class::Contention,
            Relation::Leader | Relation::Same | Relation::OtherBody | Relation::OtherId,
        ) => Disposition::Park,
        // What is wrong with the leader says nothing about another body or another event.
        (Class::Passing | Class::Poison, Relation::OtherBody | Relation::OtherId) => {
            Disposition::Park
        }
        (Class::Passing, Relation::Leader | Relation::Same) => match retry_delay(attempt) {
            Some(delay) => Disposition::Retry(delay, fault),
            None => Disposition::DeadLetter(fault),
        },
        (Class::Poison, Relation::Leader | Relation::Same) => Disposition::DeadLetter(fault),
    }
}

/// Parking is bounded by age.
pub(crate) fn bounded_by_age(
    disposition: Disposition,
    received_at: UnixMicros,
    now: UnixMicros,
) -> Disposition {
    match disposition {
        Disposition::Park if now.since(received_at) > PARKED_MAX => {
            Disposition::DeadLetter(Fault {
                class: Class::Contention,
                reason: Reason::ParkedTooLong,
                message: "parked for longer than a day".to_owned(),
                unknown: None,
            })
        }
        Disposition::Ack { .. }
        | Disposition::Retry(..)
        | Disposition::Park
        | Disposition::DeadLetter(_)
        | Disposition::Release => disposition,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROOF: Applied = Applied::by_commit();

    fn reason(disposition: Disposition) -> Option<Reason> {
        if let Disposition::DeadLetter(fault) = disposition {
            Some(fault.reason)
        } else {
            None
        }
    }

    #[test]
    fn only_a_proof_of_the_ledger_is_acked() {
        for verdict in [
            Verdict::ConflictingBody,
            Verdict::ReplayedSignature,
            Verdict::Undecided,
        ] {
            for relation in [
                Relation::Leader,
                Relation::Same,
                Relation::OtherBody,
                Relation::OtherId,
            ] {
                assert!(
                    !matches!(after_verdict(verdict, relation), Disposition::Ack { .. }),
                    "{verdict:?}"
                );
            }
        }
        let acked = after_verdict(Verdict::Duplicate(PROOF), Relation::Same);
        assert_eq!(
            acked,
            Disposition::Ack {
                proof: PROOF,
                fresh: false
            }
        );
    }

    #[test]
    fn a_copy_that_is_not_the_same_is_evidence_once_its_leader_is_applied() {
        let applied = Verdict::Applied(PROOF);
        assert_eq!(
            reason(after_verdict(applied, Relation::OtherBody)),
            Some(Reason::ConflictingBody)
        );
        assert_eq!(
            reason(after_verdict(applied, Relation::OtherId)),
            Some(Reason::ReplayedSignature)
        );
        assert_eq!(
            after_verdict(Verdict::ConflictingBody, Relation::OtherBody),
            Disposition::Park
        );
        assert_eq!(
            after_verdict(Verdict::Undecided, Relation::Same),
            Disposition::Park
        );
    }

    #[test]
    fn only_a_fault_of_the_event_spends_its_attempts() {
        let failed = |fault, attempt| after_fault(fault, Relation::Same, attempt);
        assert_eq!(failed(Fault::ours("x"), 6), Disposition::Release);
        assert_eq!(failed(Fault::contention("x"), 6), Disposition::Park);
        assert_eq!(
            reason(failed(Fault::poison(Reason::Schema, "x"), 1)),
            Some(Reason::Schema)
        );
        let other = after_fault(Fault::poison(Reason::Schema, "x"), Relation::OtherBody, 1);
        assert_eq!(other, Disposition::Park);
        for (attempt, seconds) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16)] {
            let retried = failed(Fault::passing("x"), attempt);
            assert_eq!(
                retried,
                Disposition::Retry(Duration::from_secs(seconds), Fault::passing("x"))
            );
        }
        assert_eq!(
            reason(failed(Fault::passing("x"), 6)),
            Some(Reason::RetriesExhausted)
        );
    }

    #[test]
    fn parking_ends_after_a_day() {
        let day = UnixMicros(24 * 60 * 60 * 1_000_000);
        assert_eq!(
            bounded_by_age(Disposition::Park, UnixMicros(0), day),
            Disposition::Park
        );
        let late = bounded_by_age(Disposition::Park, UnixMicros(0), UnixMicros(day.0 + 1));
        assert_eq!(reason(late), Some(Reason::ParkedTooLong));
    }
}
