//! `spillway reconcile`: is every event that was accepted accounted for?
//!
//! By id and per pipeline: an event in the journal has a row in `processed_webhooks`, or a dead letter, or is
//! in flight. The way: `obligation.rs` (what has to be there) → `check.rs`, `judge.rs` (what is there) →
//! `settle.rs`, `flight.rs` (what may still come) → `report.rs`.

mod background;
mod check;
mod fleet;
mod flight;
mod judge;
mod obligation;
mod pass;
mod repair;
mod report;
mod settle;
mod strays;

pub(crate) use background::{Background, Gauges};
pub(crate) use check::{Checked, check};
pub(crate) use fleet::Fleet;
pub(crate) use flight::Observer;
pub(crate) use obligation::{Obligation, obligations, unrouted};

use crate::moment;
use crate::operator::{At, Desk, Errand};
use crate::republish::Republisher;
use anyhow::{Context, bail};
use broker::{Broker, Entry, JournalStart};
use clap::Args;
use envelope::{SourceName, UnixMicros};
use ledger::{Books, Ledger};
use pass::{Missing, Scope, extend, pass};
use report::Report;
use settle::{Settled, settle};
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

/// How long the missing are given to show where they are: a look needs two pulses of every worker, and comes
/// two seconds after the journal was read. Under load it is the next look that shows it.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2_100);

/// Arguments of `spillway reconcile`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    at: At,
    /// From when on: how long ago, or a time in UTC.
    #[arg(long, default_value = "1h", value_name = "WHEN", value_parser = moment::parse)]
    since: UnixMicros,
    /// Only this source's events.
    #[arg(long, value_name = "SOURCE")]
    source: Option<SourceName>,
    /// Publishes what is unaccounted for again, from the journal. Deduplicated like any other event.
    #[arg(long)]
    repair: bool,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Compares, reports, and fails where an event is unaccounted for or its rows are not what they have to be.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.at.clone().run(arguments).await
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(mut self, desk: Desk<L>) -> anyhow::Result<()> {
        if desk.topology.journal.is_none() {
            bail!(
                "the journal is off ([journal] enabled = false): nothing says what was accepted, so nothing can be compared"
            );
        }
        // Further back a row that is not there may have been forgotten.
        self.since = self.since.max(desk.remembered_since());
        let broker = desk.broker().await?;
        let inquiry = Inquiry {
            observer: Observer::start(broker.clone()),
            desk: &desk,
        };
        let scope = Scope {
            start: JournalStart::Since(self.since),
            source: self.source.clone(),
        };
        let (began, mut journaled) = (SystemTime::now(), Vec::new());
        let seen = |entries: &[Entry]| journaled.extend(strays::marks(entries, &desk.topology));
        let mut outcome = Outcome::default();
        let many = async |missing| {
            outcome.add(inquiry.look(missing).await?);
            Ok(())
        };
        let (ledger, topology) = (&desk.ledger, &desk.topology);
        let mut found = pass(&broker, ledger, topology, &scope, seen, many).await?;
        let mut report = Report::of(&mut found, self.since, reach(&broker).await?);
        journaled.sort_unstable();
        report.strays = strays::count(ledger, &self, began, &journaled).await?;
        found.missing.append(&mut outcome.in_flight);
        inquiry.look_again(found.missing, &mut outcome).await?;
        report.settled(outcome);
        if self.repair {
            let wanted = report.unaccounted.iter().map(|it| it.key).collect();
            let republisher = Republisher::new(&broker, None, desk.stop.clone());
            report.repaired =
                repair::repair(&broker, topology, scope.start, wanted, &republisher).await?;
        }
        report.print(self.json)?;
        report.verdict()
    }
}

async fn reach(broker: &Broker) -> anyhow::Result<Option<UnixMicros>> {
    let reach = broker.journal_reach().await;
    reach.context("cannot say how far back the journal sees")
}

/// What became of all the missing, in bounded memory.
#[derive(Default)]
struct Outcome {
    found: u64,
    in_flight: Vec<Missing>,
    in_flight_unnamed: u64,
    unaccounted: Vec<Obligation>,
    unaccounted_unnamed: u64,
}

impl Outcome {
    fn add(&mut self, settled: Settled) {
        self.found += settled.found;
        self.in_flight_unnamed += extend(&mut self.in_flight, settled.in_flight);
        self.unaccounted_unnamed += extend(&mut self.unaccounted, settled.unaccounted);
    }
}

/// Asks what became of the missing.
struct Inquiry<'a, L> {
    observer: Observer,
    desk: &'a Desk<L>,
}

impl<L: Books> Inquiry<'_, L> {
    async fn look(&self, missing: Vec<Missing>) -> anyhow::Result<Settled> {
        sleep(BETWEEN_LOOKS).await;
        settle(
            &self.observer,
            &self.desk.ledger,
            &self.desk.topology,
            missing,
        )
        .await
    }

    /// Looks for the missing until each has been found or is known to be nowhere, as long as looking helps.
    async fn look_again(
        &self,
        mut missing: Vec<Missing>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        for _ in 0..LOOKS {
            if missing.is_empty() || self.desk.stop.is_cancelled() {
                break;
            }
            let mut settled = self.look(missing).await?;
            missing = std::mem::take(&mut settled.in_flight);
            outcome.add(settled);
        }
        outcome.in_flight_unnamed += extend(&mut outcome.in_flight, missing);
        Ok(())
    }
}
