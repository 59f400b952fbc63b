//! The same comparison, running for ever: what has come since the last look, and what was missing then.
//! Bounded in memory: only what is missing is remembered.

use super::check::{self, check};
use super::flight::Observer;
use super::obligation::{Obligation, obligations};
use super::pass::{Missing, NAMED_MAX};
use super::repair;
use super::settle::settle;
use crate::republish::Republisher;
use anyhow::Context;
use broker::{Broker, Content, JournalStart, Topology};
use envelope::{Key, UnixMicros};
use ledger::Books;
use ops::config::ReconcileConfig;
use prometheus::{IntCounter, IntGauge, Registry};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How much of the past a new process looks at: as much as the command does.
const SINCE: Duration = Duration::from_secs(60 * 60);
const BATCH_MAX: usize = 500;
/// Names in one log line.
const NAMED_IN_LOG: usize = 5;

/// What the background run exports.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    unaccounted: IntGauge,
    repaired: IntCounter,
}

/// The background run of one process.
pub(crate) struct Background<B> {
    ledger: B,
    broker: Broker,
    observer: Observer,
    topology: Topology,
    config: ReconcileConfig,
    gauges: Gauges,
    next: JournalStart,
    missing: Vec<Missing>,
    /// Nowhere, and still so at the last look. Together with the missing as many as are ever named: where
    /// there are more, the ledger is not what it was, and nothing new is read until a person has acted.
    unaccounted: HashMap<Key, Obligation>,
}

impl Gauges {
    /// Registers them, at zero.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = Self {
            unaccounted: IntGauge::new(
                "unaccounted_events",
                "Accepted events that are neither applied nor a dead letter nor in flight.",
            )?,
            repaired: IntCounter::new(
                "repaired_events_total",
                "Unaccounted events that were published again from the journal.",
            )?,
        };
        registry.register(Box::new(gauges.unaccounted.clone()))?;
        registry.register(Box::new(gauges.repaired.clone()))?;
        Ok(gauges)
    }
}

impl<B: Books> Background<B> {
    pub(crate) fn new(
        ledger: B,
        broker: Broker,
        observer: Observer,
        topology: Topology,
        config: ReconcileConfig,
        gauges: Gauges,
    ) -> Self {
        let since = UnixMicros::from(SystemTime::now() - SINCE);
        Self {
            ledger,
            broker,
            observer,
            topology,
            config,
            gauges,
            next: JournalStart::Since(since),
            missing: Vec::new(),
            unaccounted: HashMap::new(),
        }
    }

    /// Compares until told to stop. Whatever is away costs a round and nothing else.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        if self.topology.journal.is_none() {
            info!("the journal is off: what was accepted cannot be compared with what was applied");
            return stop.cancelled().await;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(self.config.every) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                round = self.round(&stop) => {
                    if let Err(why) = round {
                        warn!("the books could not be compared this time: {why:#}");
                    }
                }
            }
        }
    }

    async fn round(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        self.read_on().await?;
        let missing = std::mem::take(&mut self.missing);
        // Kept for the next round should this one fail half way.
        self.missing.clone_from(&missing);
        let settled = settle(&self.observer, &self.ledger, &self.topology, missing).await?;
        self.missing = settled.in_flight;
        self.recheck().await?;
        self.tell_of(&settled.unaccounted);
        let known = |it: Obligation| (it.key, it);
        self.unaccounted
            .extend(settled.unaccounted.into_iter().map(known));
        if self.config.repair {
            self.repair(stop).await?;
        }
        let unaccounted = i64::try_from(self.unaccounted.len()).unwrap_or(i64::MAX);
        self.gauges.unaccounted.set(unaccounted);
        Ok(())
    }

    async fn read_on(&mut self) -> anyhow::Result<()> {
        let mut journal = self.broker.read_journal(self.next);
        while self.missing.len() + self.unaccounted.len() < NAMED_MAX
            && let Some(entries) = journal.next_batch(BATCH_MAX).await?
        {
            let read_at = Instant::now();
            let events = entries.iter().filter_map(|entry| match &entry.content {
                Content::Event(envelope) => Some(obligations(&self.topology, envelope)),
                Content::Foreign { .. } => None,
            });
            let batch: Vec<_> = events.flatten().collect();
            let checked = check(&self.ledger, batch)
                .await
                .context("cannot ask the ledger")?;
            let missing = |obligation| Missing {
                obligation,
                read_at,
            };
            self.missing
                .extend(checked.missing.into_iter().map(missing));
            for damaged in &checked.damaged {
                error!(event.id = %damaged.event_id, source.name = %damaged.source, "{} of {}: {}", damaged.event_id, damaged.source, damaged.damage);
            }
            if let Some(last) = entries.last() {
                self.next = JournalStart::After(last.position);
            }
        }
        Ok(())
    }

    /// Somebody may have repaired or replayed what was unaccounted for.
    async fn recheck(&mut self) -> anyhow::Result<()> {
        let known: Vec<_> = self.unaccounted.values().cloned().collect();
        let mut still = HashMap::new();
        for batch in known.chunks(BATCH_MAX) {
            let missing = check::missing(&self.ledger, batch.to_vec())
                .await
                .context("cannot ask the ledger")?;
            still.extend(missing.into_iter().map(|it| (it.key, it)));
        }
        self.unaccounted = still;
        Ok(())
    }

    fn tell_of(&self, unaccounted: &[Obligation]) {
        if unaccounted.is_empty() {
            return;
        }
        let names: Vec<_> = unaccounted.iter().map(|it| it.event_id.as_str()).collect();
        let shown = names[..names.len().min(NAMED_IN_LOG)].join(", ");
        error!(
            "{} accepted events are nowhere: {shown}… `spillway reconcile` names them all, `--repair` publishes them again",
            names.len()
        );
    }

    async fn repair(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        if self.unaccounted.is_empty() {
            return Ok(());
        }
        let republisher = Republisher::new(&self.broker, None, stop.clone());
        let oldest = self.unaccounted.values().map(|it| it.received_at).min();
        let start = oldest.map_or(JournalStart::Oldest, JournalStart::Since);
        let wanted = self.unaccounted.keys().copied().collect();
        let repaired = repair::repair(&self.broker, &self.topology, start, wanted, &republisher);
        self.gauges.repaired.inc_by(repaired.await?);
        // They are in flight again, and are judged as such.
        let read_at = Instant::now();
        let missing = |obligation| Missing {
            obligation,
            read_at,
        };
        self.missing
            .extend(self.unaccounted.drain().map(|(_, it)| missing(it)));
        Ok(())
    }
}
