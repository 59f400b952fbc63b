//! The one transaction, and what to do when it fails.

use crate::collapse::{Group, Member};
use crate::disposition::{Settlement, after_fault, after_verdict};
use crate::run::Worker;
use failpoints::{Mutant, mutated};
use ledger::{Applied, Candidate, Handler, Ledger, Verdict};
use resilience::{Backoff, Class, Fault};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Immediate tries after two writers met; a deadlock's loser wins the next time.
const CONTENTION_TRIES: u32 = 3;
/// The bound of the wait before such a try.
const CONTENTION_BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(10),
    cap: Duration::from_millis(100),
};

/// What became of one candidate.
pub(crate) type Outcome = Result<Verdict, Fault>;

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// Commits the groups' leaders and decides every member's ending.
    pub(crate) async fn commit(
        &self,
        groups: Vec<Group<H::Effect>>,
        stop: &CancellationToken,
    ) -> Vec<Settlement> {
        let (mut candidates, mut members): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .map(|group| (group.candidate, group.members))
            .unzip();
        if mutated(Mutant::AckBeforeCommit) {
            let too_early = Ok(Verdict::Applied(Applied::by_commit()));
            let members = members.drain(..);
            let early = members.flat_map(|members| settlements(&too_early, members));
            self.settle(early.collect()).await;
        }
        let mut outcomes = self.outcomes(&candidates, stop).await;
        self.let_through(&mut candidates, &mut outcomes, stop).await;
        outcomes
            .into_iter()
            .zip(members)
            .flat_map(|(outcome, members)| settlements(&outcome, members))
            .collect()
    }

    /// One transaction for all; one each where a fault of a single event spoils it for the others (I6).
    pub(crate) async fn outcomes(
        &self,
        batch: &[Candidate<H::Effect>],
        stop: &CancellationToken,
    ) -> Vec<Outcome> {
        match self.try_until_decided(batch, stop).await {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(fault) => match fault.class {
                Class::Passing | Class::Poison if batch.len() > 1 => {
                    self.one_by_one(batch, stop).await
                }
                Class::Ours | Class::Contention | Class::Passing | Class::Poison => {
                    vec![Err(fault); batch.len()]
                }
            },
        }
    }

    async fn one_by_one(
        &self,
        batch: &[Candidate<H::Effect>],
        stop: &CancellationToken,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for candidate in batch {
            let verdict = self
                .try_until_decided(std::slice::from_ref(candidate), stop)
                .await;
            outcomes.push(verdict.and_then(|verdicts| {
                verdicts
                    .first()
                    .copied()
                    .ok_or_else(|| Fault::ours("the ledger gave no verdict"))
            }));
        }
        outcomes
    }

    /// Waits out a ledger that is away, with the batch in hand, and spends no attempt (I11). Whoever called
    /// [`Worker::process`] takes the batch back when that lasts too long.
    async fn try_until_decided(
        &self,
        batch: &[Candidate<H::Effect>],
        stop: &CancellationToken,
    ) -> Result<Vec<Verdict>, Fault> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        if !self.gate.wait_while_open(|| self.ledger.ping(), stop).await {
            return Err(Fault::ours("the ledger was not asked: the worker stops"));
        }
        let mut contentions = 0;
        loop {
            let fault = match self.ledger.commit(&self.handler, batch).await {
                Ok(verdicts) => {
                    failpoints::crash("worker.after_commit");
                    self.answered(&verdicts);
                    return Ok(verdicts);
                }
                Err(fault) => fault,
            };
            self.events.ledger_fault(&fault);
            let again = match fault.class {
                Class::Ours if mutated(Mutant::SpendAttemptOnOutage) => {
                    return Err(Fault::passing(fault.message));
                }
                Class::Ours => {
                    self.gate.failed();
                    self.gate.pass(|| self.ledger.ping(), stop).await
                }
                Class::Contention if contentions < CONTENTION_TRIES => {
                    contentions += 1;
                    wait(
                        CONTENTION_BACKOFF.wait(contentions - 1, fastrand::f64()),
                        stop,
                    )
                    .await
                }
                Class::Contention => {
                    self.gate.contended();
                    false
                }
                Class::Passing | Class::Poison => {
                    return Err(self.refused(fault, batch, stop).await);
                }
            };
            if !again {
                return Err(fault);
            }
        }
    }
}

impl<L: Ledger, H: Handler> Worker<L, H> {
    fn answered(&self, verdicts: &[Verdict]) {
        self.gate.succeeded();
        // Duplicates prove nothing: the handler has not seen them.
        let is_applied = |verdict: &Verdict| matches!(verdict, Verdict::Applied(_));
        if verdicts.iter().any(is_applied) {
            self.gate.decided();
        }
    }

    /// The ledger answers, and refuses. Of a batch that says nothing yet: its events are tried one by one.
    ///
    /// A fault no rule names that has hit one event after the other is ours: wait, and spend no attempt
    /// (I11). The event is then parked, so that the next try is another one's: should they be bad events
    /// after all, they must not stand in the way of the healthy one behind them (I6).
    async fn refused(
        &self,
        fault: Fault,
        batch: &[Candidate<H::Effect>],
        stop: &CancellationToken,
    ) -> Fault {
        let [candidate] = batch else { return fault };
        match fault.unknown.as_deref() {
            Some(code) if self.gate.is_everybodys(code, candidate.key) => {
                self.events.everybodys(code);
                let class = if self.gate.pass(|| self.ledger.ping(), stop).await {
                    Class::Contention
                } else {
                    Class::Ours
                };
                return Fault { class, ..fault };
            }
            Some(_) => {}
            None => self.gate.decided(),
        }
        self.gate.succeeded();
        fault
    }
}

/// False when stopping comes first.
async fn wait(duration: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = sleep(duration) => true,
        () = stop.cancelled() => false,
    }
}

fn settlements(outcome: &Outcome, members: Vec<Member>) -> Vec<Settlement> {
    let decide = |member: &Member| match outcome {
        Ok(verdict) => after_verdict(*verdict, member.relation),
        Err(fault) => after_fault(
            fault.clone(),
            member.relation,
            member.held.envelope.attempt.number(),
        ),
    };
    let settle = |member: Member| Settlement {
        disposition: decide(&member),
        key: member.key,
        held: member.held,
    };
    members.into_iter().map(settle).collect()
}
