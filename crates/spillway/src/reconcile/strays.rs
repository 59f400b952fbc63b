//! Rows without a journal entry: reported, and no error. The journal forgets sooner than the ledger does, and
//! an event that was replayed by hand was journaled when it first came.

use super::Arguments;
use super::obligation::obligations;
use anyhow::Context;
use broker::{Content, Entry, Topology};
use envelope::{Key, UnixMicros};
use ledger::{AppliedEvent, Books, Window};
use std::time::{Duration, SystemTime};

/// Rows asked for at once.
const PAGE: u32 = 1_000;

/// The first eight bytes of a key. A million of them take 8 MB, and that two in a million are the same is as
/// likely as one in thirty million.
pub(super) type KeyMark = u64;

/// The keys of what these entries oblige us to.
pub(super) fn marks(entries: &[Entry], topology: &Topology) -> Vec<KeyMark> {
    let keys = |entry: &Entry| match &entry.content {
        Content::Event(envelope) => obligations(topology, envelope),
        Content::Foreign { .. } => Vec::new(),
    };
    let obligations = entries.iter().flat_map(keys);
    obligations
        .map(|obligation| mark(&obligation.key))
        .collect()
}

fn mark(key: &Key) -> KeyMark {
    let mut first = [0; 8];
    first.copy_from_slice(&key.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// Between an event's receipt and its entry: longer than a door waits for its confirm, and the clocks of two
/// machines may differ by.
const RECEIPT_TO_ENTRY: Duration = Duration::from_secs(5);

/// How many events were received and applied since then of which the journal knew nothing when its reading
/// `began`; `journaled` is what it knew, sorted. What has come later is in nobody's way.
pub(super) async fn count<B: Books>(
    ledger: &B,
    asked: &Arguments,
    began: SystemTime,
    journaled: &[KeyMark],
) -> anyhow::Result<u64> {
    let before = UnixMicros::from(began - RECEIPT_TO_ENTRY);
    let window = Window {
        from: asked.since,
        until: UnixMicros::from(SystemTime::now()),
    };
    let (mut strays, mut after) = (0, None);
    loop {
        let page = ledger.applied_between(window, after.as_ref(), PAGE).await;
        let page = page.context("cannot list what was applied")?;
        let is_stray = |event: &&AppliedEvent| {
            let of_source = asked
                .source
                .as_ref()
                .is_none_or(|source| *source == event.source);
            // What was received before the window lies in an older part of the journal.
            let in_window = event.received_at >= asked.since && event.received_at < before;
            of_source && in_window && journaled.binary_search(&mark(&event.key)).is_err()
        };
        strays += page.iter().filter(is_stray).count() as u64;
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = Some(last.cursor()),
            Some(_) | None => return Ok(strays),
        }
    }
}
