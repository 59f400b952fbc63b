//! Claims: who is at work on an event. A hint that saves work and never decides anything (I4).

use crate::collapse::Group;
use crate::disposition::{Disposition, Settlement};
use crate::run::Worker;
use envelope::Key;
use failpoints::{Mutant, mutated};
use ledger::{Applied, Claimed, Handler, Ledger};

/// After so many parks an event goes on without a claim: the unique row is the fence, and a worker that
/// died with a claim in hand must not delay its events for longer.
const PARKS_FOR_A_CLAIM: u32 = 2;

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// Claims the leaders, and parks the groups that somebody else is at work on.
    pub(crate) async fn claim(&self, groups: Vec<Group<H::Effect>>) -> Vec<Group<H::Effect>> {
        if groups.is_empty() || !self.recall.is_there() {
            return groups;
        }
        let keys: Vec<Key> = groups.iter().map(|group| group.candidate.key).collect();
        let claims = self.recall.claim(&self.name, &keys).await;
        self.events.recall(self.recall.is_bypassed());
        let mut ours = Vec::with_capacity(groups.len());
        let mut parked = Vec::new();
        for (group, claimed) in groups.into_iter().zip(claims) {
            self.events.claimed(claimed);
            if trusted(claimed) {
                parked.extend(end(group, &TRUSTED))
            } else if goes_on(claimed, &group) {
                ours.push(group)
            } else {
                parked.extend(end(group, &Disposition::Park))
            }
        }
        self.settle(parked).await;
        ours
    }

    /// Remembers what is in the ledger now, and gives up the claims on what is not.
    pub(crate) async fn remember(&self, settlements: &[Settlement]) {
        let keys = |acked: bool| -> Vec<Key> {
            let is_acked = |settlement: &&Settlement| {
                matches!(settlement.disposition, Disposition::Ack { .. }) == acked
            };
            settlements
                .iter()
                .filter(is_acked)
                .map(|settlement| settlement.key)
                .collect()
        };
        self.recall.remember(&keys(true)).await;
        self.recall.release(&self.name, &keys(false)).await;
    }
}

/// Known as applied goes on too: only the row is a proof, and the commit is what looks at it (I2).
fn goes_on<E>(claimed: Claimed, group: &Group<E>) -> bool {
    match claimed {
        Claimed::Granted | Claimed::AlreadyApplied | Claimed::Unknown => true,
        Claimed::HeldElsewhere => group
            .members
            .iter()
            .any(|member| member.held.envelope.parked >= PARKS_FOR_A_CLAIM),
    }
}

/// Two mistakes for the simulation to find: never true otherwise.
fn trusted(claimed: Claimed) -> bool {
    match claimed {
        Claimed::AlreadyApplied => mutated(Mutant::TrustRedisDone),
        Claimed::HeldElsewhere => mutated(Mutant::AckHeldElsewhere),
        Claimed::Granted | Claimed::Unknown => false,
    }
}

const TRUSTED: Disposition = Disposition::Ack {
    proof: Applied::by_commit(),
    fresh: false,
};

fn end<E>(
    group: Group<E>,
    disposition: &Disposition,
) -> impl Iterator<Item = Settlement> + use<'_, E> {
    group.members.into_iter().map(|member| Settlement {
        key: member.key,
        held: member.held,
        disposition: disposition.clone(),
    })
}
