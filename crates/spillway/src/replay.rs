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
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};
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
    /// How long to wait for the next of what was published to be applied.
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
    /// The keys of what was published, one for each event and pipeline: thirty megabytes a million.
    published: HashSet<Key>,
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
        let span = self.span(&desk);
        self.warn_of_reach(&broker, &span).await?;
        let republisher = Republisher::new(&broker, self.rate, desk.stop.clone());
        let counts = self.publish(&desk, &broker, &span, &republisher).await?;
        let Counts {
            read,
            applied,
            dead,
            missing,
            published,
        } = counts;
        println!(
            "{read} entries of the journal in that time: {applied} stand applied, {dead} are dead letters, {missing} were missing"
        );
        if self.dry_run {
            println!("nothing was published (--dry-run)");
            return Ok(());
        }
        if (published.len() as u64) < missing {
            let published = published.len();
            bail!("stopped: {published} were published, run it again for the rest");
        }
        self.until_applied(&desk, &broker, &span, published).await
    }
}

/// From when to when. What comes while we replay is no part of it.
struct Span {
    from: UnixMicros,
    to: UnixMicros,
}

impl Arguments {
    fn span<L>(&self, desk: &Desk<L>) -> Span {
        let (now, remembered) = (UnixMicros::from(SystemTime::now()), desk.remembered_since());
        if self.from < remembered {
            println!(
                "what was received before {} is left alone: the ledger may have forgotten that it has applied it",
                moment::shown(remembered)
            );
        }
        Span {
            from: self.from.max(remembered),
            to: self.to.unwrap_or(now),
        }
    }

    async fn warn_of_reach(&self, broker: &Broker, span: &Span) -> anyhow::Result<()> {
        match broker
            .journal_reach()
            .await
            .context("cannot read the journal")?
        {
            Some(reach) if reach > span.from => {
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

    /// Reads the journal once and publishes what is missing, where it may.
    async fn publish<L: Books>(
        &self,
        desk: &Desk<L>,
        broker: &Broker,
        span: &Span,
        republisher: &Republisher,
    ) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        let mut found = HashSet::new();
        let progress = progress();
        let mut journal = broker.read_journal(JournalStart::Since(span.from));
        while let Some(entries) = journal.next_batch(BATCH_MAX).await? {
            progress.inc(entries.len() as u64);
            let (read, mut events) = self.wanted(entries, span, desk);
            counts.read += read;
            let checked = ask(desk, &events).await?;
            counts.applied += checked.applied;
            counts.dead += checked.dead.len() as u64;
            events.retain(|key, _| {
                checked.missing.iter().any(|it| it.key == *key) && found.insert(*key)
            });
            counts.missing += events.len() as u64;
            if !self.dry_run {
                counts.published.extend(send(republisher, events).await);
            }
            if desk.stop.is_cancelled() {
                break;
            }
        }
        progress.finish_and_clear();
        Ok(counts)
    }

    /// How many of these entries are wanted, and what they oblige us to: copies of an event once.
    fn wanted<L>(&self, entries: Vec<Entry>, span: &Span, desk: &Desk<L>) -> (u64, Events) {
        let (mut read, mut events) = (0, Events::new());
        for entry in entries {
            let Content::Event(envelope) = entry.content else {
                continue;
            };
            if !self.wants(&envelope, span) {
                continue;
            }
            read += 1;
            for obligation in obligations(&desk.topology, &envelope) {
                let event = (obligation.clone(), envelope.clone());
                events.entry(obligation.key).or_insert(event);
            }
        }
        (read, events)
    }

    fn wants(&self, envelope: &Envelope, span: &Span) -> bool {
        let of_source = self
            .source
            .as_ref()
            .is_none_or(|source| *source == envelope.source);
        let is_it = self
            .event_id
            .as_ref()
            .is_none_or(|id| *id == envelope.event_id);
        envelope.received_at < span.to && of_source && is_it
    }

    /// Waits until nothing of it is missing any more, and says what has become of it.
    async fn until_applied<L: Books>(
        &self,
        desk: &Desk<L>,
        broker: &Broker,
        span: &Span,
        published: HashSet<Key>,
    ) -> anyhow::Result<()> {
        let (mut settled, mut dead) = (JournalStart::Since(span.from), HashSet::new());
        let mut moved = Instant::now();
        while !published.is_empty() {
            let before = settled;
            if self
                .go_on(desk, broker, span, &mut settled, &mut dead)
                .await?
            {
                break;
            }
            if settled != before {
                moved = Instant::now();
            }
            if moved.elapsed() > self.timeout || desk.stop.is_cancelled() {
                bail!("not all that was published is applied yet: the rest is in its queues");
            }
            sleep(LOOK_EVERY).await;
        }
        let died = published.intersection(&dead).count();
        println!("{} applied again", published.len() - died);
        if died > 0 {
            println!("{died} have become dead letters: see `spillway dlq list`");
        }
        Ok(())
    }

    /// Reads on from where everything before is settled, as far as everything is now. True at the end.
    async fn go_on<L: Books>(
        &self,
        desk: &Desk<L>,
        broker: &Broker,
        span: &Span,
        settled: &mut JournalStart,
        dead: &mut HashSet<Key>,
    ) -> anyhow::Result<bool> {
        let mut journal = broker.read_journal(*settled);
        while let Some(entries) = journal.next_batch(BATCH_MAX).await? {
            let last = entries.last().map(|entry| entry.position);
            let (_, events) = self.wanted(entries, span, desk);
            let checked = ask(desk, &events).await?;
            if !checked.missing.is_empty() {
                return Ok(false);
            }
            dead.extend(checked.dead.iter().map(|it| it.key));
            *settled = last.map_or(*settled, JournalStart::After);
        }
        Ok(true)
    }
}

/// What entries oblige us to, with the event.
type Events = HashMap<Key, (Obligation, Envelope)>;

async fn ask<L: Books>(desk: &Desk<L>, events: &Events) -> anyhow::Result<Checked> {
    let asked = events.values().map(|(obligation, _)| obligation.clone());
    check(&desk.ledger, asked.collect())
        .await
        .context("cannot ask the ledger")
}

/// Those that were confirmed.
async fn send(republisher: &Republisher, events: Events) -> Vec<Key> {
    let (keys, batch): (Vec<Key>, Vec<(PipelineName, Envelope)>) = events
        .into_iter()
        .map(|(key, (obligation, envelope))| (key, (obligation.pipeline, envelope)))
        .unzip();
    let confirmed = republisher.publish(batch).await;
    let sent = keys
        .into_iter()
        .zip(confirmed)
        .filter(|(_, confirmed)| *confirmed);
    sent.map(|(key, _)| key).collect()
}

/// How far it is, on a terminal.
fn progress() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{human_pos} entries of the journal, {per_sec}, {elapsed}");
    ProgressBar::new_spinner().with_style(style.expect("the template is right"))
}
