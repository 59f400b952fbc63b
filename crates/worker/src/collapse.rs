//! Copies within a batch: one leads, the others follow.
//!
//! Without this two copies in one batch would both be "not returned" or both "returned" by the insert,
//! and filtering deliveries by the keys it returns would run the handler twice.

use crate::disposition::{Held, Relation};
use crate::guard::Guards;
use crate::intake::Work;
use envelope::{Key, SignatureDigest, SourceName};
use failpoints::{Mutant, mutated};
use ledger::Candidate;
use ops::config::ReplayGuard;
use std::collections::HashMap;

/// A leader and the deliveries that share its fate.
#[derive(Debug)]
pub(crate) struct Group<E> {
    pub(crate) candidate: Candidate<E>,
    /// The leader first, then its followers.
    pub(crate) members: Vec<Member>,
}

/// A delivery and how it is related to its leader.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: Key,
    pub(crate) held: Held,
    pub(crate) relation: Relation,
}

/// Groups a batch by key, then by (source, signature digest). The first delivery of each group leads:
/// batches are in the order of their tags.
///
/// Where a source's replay guard lets replays through, each is applied: they get no common leader.
pub(crate) fn collapse<E>(batch: Vec<Work<E>>, guards: &Guards) -> Vec<Group<E>> {
    let mut groups: Vec<Group<E>> = Vec::with_capacity(batch.len());
    let mut by_key: HashMap<Key, usize> = HashMap::with_capacity(batch.len());
    let mut by_digest: HashMap<(SourceName, SignatureDigest), usize> = HashMap::new();
    for Work { candidate, held } in batch {
        let digest = candidate
            .signature_digest
            .filter(|_| guards.of(&candidate.source) == ReplayGuard::Quarantine)
            .map(|digest| (candidate.source.clone(), digest));
        let same_key = by_key.get(&candidate.key).copied();
        let same_key = same_key.filter(|_| !mutated(Mutant::FilterByReturning));
        let same_digest = digest
            .as_ref()
            .and_then(|digest| by_digest.get(digest))
            .copied();
        match same_key.or(same_digest) {
            Some(index) => groups[index].follow(&candidate, held),
            None => {
                by_key.insert(candidate.key, groups.len());
                by_digest.extend(digest.map(|digest| (digest, groups.len())));
                groups.push(Group::led_by(candidate, held));
            }
        }
    }
    groups
}

impl<E> Group<E> {
    fn led_by(candidate: Candidate<E>, held: Held) -> Self {
        let leader = Member {
            key: candidate.key,
            held,
            relation: Relation::Leader,
        };
        Self {
            candidate,
            members: vec![leader],
        }
    }

    fn follow(&mut self, candidate: &Candidate<E>, held: Held) {
        let relation = if candidate.key != self.candidate.key {
            Relation::OtherId
        } else if candidate.body_sha256 != self.candidate.body_sha256 {
            Relation::OtherBody
        } else {
            Relation::Same
        };
        self.members.push(Member {
            key: candidate.key,
            held,
            relation,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::{Content, Delivery, Hand};
    use bytes::Bytes;
    use envelope::{Attempt, BodyHash, Envelope, PipelineName, UnixMicros};
    use proptest::prelude::*;

    fn work(id: u8, body: u8, digest: Option<u8>) -> Work<()> {
        let envelope = Envelope {
            event_id: format!("evt_{id}").parse().unwrap(),
            source: "default".parse().unwrap(),
            body: Bytes::from(vec![body]),
            content_type: None,
            received_at: UnixMicros(0),
            signed_at: None,
            signature_digest: digest.map(|digest| SignatureDigest::of(&[&[digest]])),
            attempt: Attempt::FIRST,
            parked: 0,
            replays: 0,
            note: None,
            traceparent: None,
        };
        let pipeline: PipelineName = "payments".parse().unwrap();
        let candidate = Candidate {
            key: envelope.key(&pipeline),
            pipeline,
            source: envelope.source.clone(),
            event_id: envelope.event_id.clone(),
            signature_digest: envelope.signature_digest,
            body_sha256: BodyHash::of(&envelope.body),
            payload: envelope.body.clone(),
            received_at: envelope.received_at,
            attempt: envelope.attempt,
            effect: (),
        };
        let delivery = Delivery::new(Content::Event(envelope.clone()), 0, Hand::new(|| {}), 1);
        Work {
            candidate,
            held: Held {
                envelope,
                receipt: delivery.receipt,
            },
        }
    }

    fn relations(batch: Vec<Work<()>>) -> Vec<Vec<Relation>> {
        let of = |group: Group<()>| {
            group
                .members
                .into_iter()
                .map(|member| member.relation)
                .collect()
        };
        collapse(batch, &Guards::default())
            .into_iter()
            .map(of)
            .collect()
    }

    #[test]
    fn fifty_copies_in_one_batch_are_one_candidate() {
        let copies = (0..50).map(|_| work(1, 1, Some(1))).collect();
        let mut expected = vec![Relation::Same; 50];
        expected[0] = Relation::Leader;
        assert_eq!(relations(copies), [expected]);
    }

    #[test]
    fn another_body_or_another_id_follows_and_does_not_lead() {
        let batch = vec![
            work(1, 1, Some(1)),
            work(1, 2, Some(2)),
            work(2, 1, Some(1)),
            work(3, 3, None),
        ];
        let expected = [
            vec![Relation::Leader, Relation::OtherBody, Relation::OtherId],
            vec![Relation::Leader],
        ];
        assert_eq!(relations(batch), expected);
    }

    proptest! {
        #[test]
        fn no_delivery_is_lost_and_no_two_leaders_share_key_or_digest(
            batch in prop::collection::vec((0u8..6, 0u8..3, prop::option::of(0u8..4)), 0..60),
        ) {
            let count = batch.len();
            let groups = collapse(batch.into_iter().map(|(id, body, digest)| work(id, body, digest)).collect(), &Guards::default());
            prop_assert_eq!(groups.iter().map(|group| group.members.len()).sum::<usize>(), count);
            let keys: std::collections::HashSet<_> = groups.iter().map(|group| group.candidate.key).collect();
            prop_assert_eq!(keys.len(), groups.len());
            let digests: Vec<_> = groups.iter().filter_map(|group| group.candidate.signature_digest).collect();
            let distinct: std::collections::HashSet<_> = digests.iter().collect();
            prop_assert_eq!(distinct.len(), digests.len());
        }
    }
}
