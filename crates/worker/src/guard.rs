//! The replay guard: what becomes of signed bytes that come again under another event id.
//!
//! The unique index on the digest is what recognises them; here is only what a source's setting makes of it.
//! `quarantine` leaves the verdict as it is, `alarm` tells of it and applies the event, `off` hides the
//! digest from the ledger.

use crate::commit::Outcome;
use crate::run::Worker;
use envelope::SourceName;
use ledger::{Candidate, Handler, Ledger, Verdict};
use ops::config::{ReplayGuard, SourceConfig};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// Each source's setting.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards(BTreeMap<SourceName, ReplayGuard>);

impl Guards {
    /// A source nobody configured here, such as `default`, is guarded.
    pub(crate) fn of(&self, source: &SourceName) -> ReplayGuard {
        self.0.get(source).copied().unwrap_or_default()
    }
}

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// With the replay guards of these sources. Their secrets are not looked at: a worker has none.
    #[must_use]
    pub fn guarding(mut self, sources: &BTreeMap<SourceName, SourceConfig>) -> Self {
        let guard_of = |(name, source): (&SourceName, &SourceConfig)| {
            let guard = source.replay_guard;
            (name.clone(), guard)
        };
        self.guards = Guards(sources.iter().map(guard_of).collect());
        self
    }

    /// Applies, each on its own, what was recognised and is to be let through: the same events, with
    /// nothing about them that could be recognised.
    pub(crate) async fn let_through(
        &self,
        candidates: &mut [Candidate<H::Effect>],
        outcomes: &mut [Outcome],
        stop: &CancellationToken,
    ) {
        for (candidate, outcome) in candidates.iter_mut().zip(outcomes) {
            let recognised = matches!(outcome, Ok(Verdict::ReplayedSignature));
            if recognised && self.guards.of(&candidate.source) == ReplayGuard::Alarm {
                self.events
                    .let_through(&candidate.event_id, &candidate.source);
                candidate.signature_digest = None;
                let again = self.outcomes(std::slice::from_ref(candidate), stop).await;
                // One candidate, one outcome.
                again.into_iter().for_each(|decided| *outcome = decided);
            }
        }
    }
}
