//! Publishes what is unaccounted for again, from the journal.

use super::obligation::obligations;
use crate::republish::Republisher;
use broker::{Broker, Content, Entry, JournalStart, Topology};
use envelope::{Envelope, Key, PipelineName};
use std::collections::HashSet;

/// Entries read at once.
const BATCH_MAX: usize = 500;

/// Publishes the journal's copy of each key from `start` on; returns how many were confirmed.
pub(super) async fn repair(
    broker: &Broker,
    topology: &Topology,
    start: JournalStart,
    mut wanted: HashSet<Key>,
    republisher: &Republisher,
) -> anyhow::Result<u64> {
    let mut repaired = 0;
    let mut journal = broker.read_journal(start);
    while !wanted.is_empty() {
        let Some(entries) = journal.next_batch(BATCH_MAX).await? else {
            break;
        };
        let batch = take_wanted(&mut wanted, &entries, topology);
        let confirmed = republisher.publish(batch).await;
        repaired += confirmed.into_iter().filter(|confirmed| *confirmed).count() as u64;
    }
    Ok(repaired)
}

/// Each once, whatever number of copies the journal holds.
fn take_wanted(
    wanted: &mut HashSet<Key>,
    entries: &[Entry],
    topology: &Topology,
) -> Vec<(PipelineName, Envelope)> {
    let mut batch = Vec::new();
    for entry in entries {
        let Content::Event(envelope) = &entry.content else {
            continue;
        };
        for obligation in obligations(topology, envelope) {
            if wanted.remove(&obligation.key) {
                batch.push((obligation.pipeline, envelope.clone()));
            }
        }
    }
    batch
}
