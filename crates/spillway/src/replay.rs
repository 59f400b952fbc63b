//! `spillway replay`: applies events of the past again, from the journal. For a database that was restored
//! from an older backup: what is missing is applied, what is there stays applied once.

use crate::moment;
use crate::operator::{At, Desk, Errand};
use crate::reconcile::{Checked, Obligation, check, obligations};
use crate::republish::Republisher;
use anyhow::{Context, bail};
use broker::{Broker, Content, Entry, JournalStart};
use clap::Args;
use envelope::{Envelope, EventId, Key, PipelineName, SourceName, UnixMicros};
use indicatif::{ProgressBar, ProgressStyle};
use ledger::{Books, Ledger};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Entries read, compared and published at once.
const BATCH_MAX: usize = 500;
/// Between two looks at what has been applied.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Arguments of `spillway replay`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    at: At,
    /// From when on: how long ago, or a time in UTC.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    from: UnixMicros,
    /// Until before when; now, where it is not given.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    to: Option<UnixMicros>,
    /// Only this source's events.
    #[arg(long, value_name = "SOURCE")]
    source: Option<SourceName>,
    /// Only this event.
    #[arg(long, value_name = "ID")]
    event_id: Option<EventId>,
    /// Says what it would do, and publishes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Events a second at most.
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// How long to wait for what was published to be applied.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Counts of one run.
#[derive(Debug, Default)]
struct Counts {
    read: u64,
    applied: u64,
    dead: u64,
    missing: u64,
    published: u64,
}

/// Replays, and waits until the missing are applied again.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.at.clone().run(arguments).await
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        if desk.topology.journal.is_none() {
            bail!(
                "the journal is off ([journal] enabled = false): there is nothing to replay from"
            );
        }
        let broker = desk.broker().await?;
        self.warn_of_reach(&broker).await?;
        let republisher = Republisher::new(&broker, self.rate, desk.stop.clone());
        let counts = self.go_through(&desk, &broker, Some(&republisher)).await?;
        let Counts {
            read,
            applied,
            dead,
            missing,
            published,
        } = counts;
        println!(
            "{read} events in that time: {applied} stand applied, {dead} are dead letters, {missing} were missing"
        );
        if self.dry_run {
            println!("nothing was published (--dry-run)");
            return Ok(());
        }
        if published < missing {
            bail!("stopped: {published} were published, run it again for the rest");
        }
        self.until_applied(&desk, &broker, missing).await
    }
}

impl Arguments {
    async fn warn_of_reach(&self, broker: &Broker) -> anyhow::Result<()> {
        match broker
            .journal_reach()
            .await
            .context("cannot read the journal")?
        {
            Some(reach) if reach > self.from => {
                println!(
                    "the journal sees no further back than {}",
                    moment::shown(reach)
                );
            }
            Some(_) => {}
            None => println!("the journal is empty"),
        }
        Ok(())
    }

    /// Reads the journal once; publishes what is missing, where it may.
    async fn go_through<L: Books>(
        &self,
        desk: &Desk<L>,
        broker: &Broker,
        republisher: Option<&Republisher>,
    ) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        let progress = progress();
        let mut journal = broker.read_journal(JournalStart::Since(self.from));
        while let Some(entries) = journal.next_batch(BATCH_MAX).await? {
            progress.inc(entries.len() as u64);
            let mut events = HashMap::new();
            for envelope in entries.into_iter().filter_map(|entry| self.wanted(entry)) {
                counts.read += 1;
                for obligation in obligations(&desk.topology, &envelope) {
                    events
                        .entry(obligation.key)
                        .or_insert((obligation, envelope.clone()));
                }
            }
            let asked = events.values().map(|(obligation, _)| obligation.clone());
            let checked = check(&desk.ledger, asked.collect())
                .await
                .context("cannot ask the ledger")?;
            counts.add(&checked);
            if let Some(republisher) = republisher.filter(|_| !self.dry_run) {
                counts.published += publish(republisher, checked.missing, &mut events).await;
            }
            if desk.stop.is_cancelled() {
                break;
            }
        }
        progress.finish_and_clear();
        Ok(counts)
    }

    fn wanted(&self, entry: Entry) -> Option<Envelope> {
        let Content::Event(envelope) = entry.content else {
            return None;
        };
        let in_time = self.to.is_none_or(|to| envelope.received_at < to);
        let of_source = self
            .source
            .as_ref()
            .is_none_or(|source| *source == envelope.source);
        let is_it = self
            .event_id
            .as_ref()
            .is_none_or(|id| *id == envelope.event_id);
        (in_time && of_source && is_it).then_some(envelope)
    }

    async fn until_applied<L: Books>(
        &self,
        desk: &Desk<L>,
        broker: &Broker,
        published: u64,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let left = self.go_through(desk, broker, None).await?.missing;
            if left == 0 {
                println!("{published} applied again");
                return Ok(());
            }
            if started.elapsed() > self.timeout || desk.stop.is_cancelled() {
                bail!(
                    "{} applied again, {left} not yet: they are in their queues",
                    published.saturating_sub(left)
                );
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

async fn publish(
    republisher: &Republisher,
    missing: Vec<Obligation>,
    events: &mut HashMap<Key, (Obligation, Envelope)>,
) -> u64 {
    let batch: Vec<(PipelineName, Envelope)> = missing
        .into_iter()
        .filter_map(|missing| events.remove(&missing.key))
        .map(|(obligation, envelope)| (obligation.pipeline, envelope))
        .collect();
    let confirmed = republisher.publish(batch).await;
    confirmed.into_iter().filter(|confirmed| *confirmed).count() as u64
}

impl Counts {
    fn add(&mut self, checked: &Checked) {
        self.applied += checked.applied;
        self.dead += checked.dead;
        self.missing += checked.missing.len() as u64;
    }
}

/// How far it is, on a terminal.
fn progress() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{human_pos} entries of the journal, {per_sec}, {elapsed}");
    ProgressBar::new_spinner().with_style(style.expect("the template is right"))
}
