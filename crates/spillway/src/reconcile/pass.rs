//! One pass over the journal: what is applied, what is dead, and what is neither.

use super::check::{Checked, Damaged, check};
use super::obligation::{Obligation, obligations};
use anyhow::Context;
use broker::{Broker, Content, Entry, JournalStart, Topology};
use envelope::SourceName;
use ledger::Books;
use std::time::Instant;

/// Entries whose obligations are asked about at once.
const BATCH_MAX: usize = 500;

/// Events of a kind that are named; the rest is counted. More than that are unaccounted for only where the
/// ledger was not damaged but replaced: `replay` is the tool.
pub(super) const NAMED_MAX: usize = 100_000;

/// What a pass has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Entries read, of which these are not ours.
    pub(crate) entries: u64,
    pub(crate) foreign: u64,
    pub(crate) applied: u64,
    pub(crate) dead: u64,
    /// Neither, and when that was read.
    pub(crate) missing: Vec<Missing>,
    pub(crate) damaged: Vec<Damaged>,
    /// Those for which there was no more room.
    pub(crate) damaged_unnamed: u64,
}

/// An obligation without a row or a letter.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    pub(crate) obligation: Obligation,
    pub(crate) read_at: Instant,
}

/// Which part of the journal.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) start: JournalStart,
    pub(crate) source: Option<SourceName>,
}

/// Reads the journal as far as it goes now, and asks the ledger about all of it. `seen` is told of every batch;
/// `many` takes the missing whenever there are as many as are remembered.
pub(crate) async fn pass<B: Books>(
    broker: &Broker,
    ledger: &B,
    topology: &Topology,
    scope: &Scope,
    mut seen: impl FnMut(&[Entry]),
    mut many: impl AsyncFnMut(Vec<Missing>) -> anyhow::Result<()>,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut journal = broker.read_journal(scope.start);
    while let Some(entries) = journal.next_batch(BATCH_MAX).await? {
        seen(&entries);
        let read_at = Instant::now();
        let batch = found.note(&entries, topology, scope);
        let checked = check(ledger, batch)
            .await
            .context("cannot ask the ledger")?;
        found.add(checked, read_at);
        if found.missing.len() >= NAMED_MAX {
            many(std::mem::take(&mut found.missing)).await?;
        }
    }
    Ok(found)
}

impl Scope {
    fn takes(&self, envelope: &envelope::Envelope) -> bool {
        self.source
            .as_ref()
            .is_none_or(|source| *source == envelope.source)
    }
}

impl Found {
    fn note(&mut self, entries: &[Entry], topology: &Topology, scope: &Scope) -> Vec<Obligation> {
        let mut batch = Vec::with_capacity(entries.len());
        for entry in entries {
            match &entry.content {
                Content::Event(envelope) if scope.takes(envelope) => {
                    self.entries += 1;
                    batch.extend(obligations(topology, envelope));
                }
                Content::Event(_) => {}
                Content::Foreign { .. } => self.foreign += 1,
            }
        }
        batch
    }

    fn add(&mut self, checked: Checked, read_at: Instant) {
        self.applied += checked.applied;
        self.dead += checked.dead.len() as u64;
        self.damaged_unnamed += extend(&mut self.damaged, checked.damaged);
        let missing = |obligation| Missing {
            obligation,
            read_at,
        };
        self.missing
            .extend(checked.missing.into_iter().map(missing));
    }
}

/// Adds what there is room for; returns for how many there was none.
pub(super) fn extend<T>(named: &mut Vec<T>, more: Vec<T>) -> u64 {
    let room = NAMED_MAX.saturating_sub(named.len());
    let unnamed = more.len().saturating_sub(room) as u64;
    named.extend(more.into_iter().take(room));
    unnamed
}
