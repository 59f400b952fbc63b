//! One pass over the journal: what is applied, what is dead, and what is neither.

use super::check::{Checked, Damaged, check};
use super::obligation::{Obligation, obligations};
use anyhow::Context;
use broker::{Broker, Content, Entry, JournalStart, Topology};
use envelope::{SourceName, UnixMicros};
use ledger::Books;
use std::time::Instant;

/// Entries whose obligations are asked about at once.
const BATCH_MAX: usize = 500;

/// Events that are named. More than that and the ledger was not damaged but replaced: `replay` is the tool.
pub(super) const NAMED_MAX: usize = 100_000;

/// What a pass has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Entries read, of which these are not ours.
    pub(crate) entries: u64,
    pub(crate) foreign: u64,
    /// When the oldest and the newest were received.
    pub(crate) oldest: Option<UnixMicros>,
    pub(crate) applied: u64,
    pub(crate) dead: u64,
    /// Neither, and when that was read.
    pub(crate) missing: Vec<Missing>,
    /// Those for which there was no more room.
    pub(crate) missing_unnamed: u64,
    pub(crate) damaged: Vec<Damaged>,
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
    /// Only what was received before this.
    pub(crate) until: Option<UnixMicros>,
    pub(crate) source: Option<SourceName>,
}

/// Reads the journal as far as it goes now, and asks the ledger about all of it. `seen` is told of every batch.
pub(crate) async fn pass<B: Books>(
    broker: &Broker,
    ledger: &B,
    topology: &Topology,
    scope: &Scope,
    mut seen: impl FnMut(&[Entry]),
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
    }
    Ok(found)
}

impl Scope {
    fn takes(&self, envelope: &envelope::Envelope) -> bool {
        let in_time = self.until.is_none_or(|until| envelope.received_at < until);
        in_time
            && self
                .source
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
                    let oldest = self.oldest.unwrap_or(envelope.received_at);
                    self.oldest = Some(oldest.min(envelope.received_at));
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
        self.dead += checked.dead;
        self.damaged.extend(checked.damaged);
        let room = NAMED_MAX.saturating_sub(self.missing.len());
        self.missing_unnamed += checked.missing.len().saturating_sub(room) as u64;
        let missing = |obligation| Missing {
            obligation,
            read_at,
        };
        self.missing
            .extend(checked.missing.into_iter().take(room).map(missing));
    }
}
