//! What became of the missing: found after all, still in flight, or unaccounted for.

use super::check;
use super::flight::{Observer, Seen};
use super::obligation::Obligation;
use super::pass::Missing;
use anyhow::Context;
use broker::Topology;
use envelope::PipelineName;
use ledger::Books;
use std::collections::BTreeMap;

/// Obligations asked about at once.
const BATCH_MAX: usize = 1_000;

/// The missing, looked at again.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// They have their row or letter by now.
    pub(crate) found: u64,
    /// They may still be on their way.
    pub(crate) in_flight: Vec<Missing>,
    /// They are nowhere.
    pub(crate) unaccounted: Vec<Obligation>,
}

/// Looks where events may be on their way, and then at the ledger once more: in this order, since an event
/// leaves its queue only after the ledger has it.
pub(crate) async fn settle<B: Books>(
    observer: &Observer,
    ledger: &B,
    topology: &Topology,
    missing: Vec<Missing>,
) -> anyhow::Result<Settled> {
    let mut settled = Settled::default();
    if missing.is_empty() {
        return Ok(settled);
    }
    let sights = observer.look(topology).await?;
    // Of all of them at once: each answer may take a look at everything that is queued.
    let mut held = observer.holds(&missing).await?.map(Vec::into_iter);
    let mut rest = missing.into_iter();
    loop {
        let batch: Vec<Missing> = rest.by_ref().take(BATCH_MAX).collect();
        if batch.is_empty() {
            return Ok(settled);
        }
        let held = held.as_mut().map(|held| held.take(batch.len()).collect());
        settled.add(ledger, &sights, held, batch).await?;
    }
}

impl Settled {
    async fn add<B: Books>(
        &mut self,
        ledger: &B,
        sights: &BTreeMap<PipelineName, Seen>,
        held: Option<Vec<bool>>,
        batch: Vec<Missing>,
    ) -> anyhow::Result<()> {
        let obligations = batch.iter().map(|it| it.obligation.clone()).collect();
        let still = check::missing(ledger, obligations)
            .await
            .context("cannot ask the ledger")?;
        self.found += (batch.len() - still.len()) as u64;
        let mut still = still.into_iter().peekable();
        for (at, missing) in batch.into_iter().enumerate() {
            if still.next_if_eq(&missing.obligation).is_none() {
                continue;
            }
            let excluded = || {
                let seen = sights.get(&missing.obligation.pipeline);
                seen.is_some_and(|seen| seen.excludes(&missing.obligation, missing.read_at))
            };
            let is_in_flight = match &held {
                Some(held) => held.get(at).copied().unwrap_or(true),
                None => !excluded(),
            };
            if is_in_flight {
                self.in_flight.push(missing);
            } else {
                self.unaccounted.push(missing.obligation);
            }
        }
        Ok(())
    }
}
