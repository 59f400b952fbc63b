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
pub(crate) use flight::Observer;
pub(crate) use obligation::{Obligation, obligations, unrouted};

use crate::moment;
use crate::operator::{At, Desk, Errand};
use crate::republish::Republisher;
use anyhow::{Context, bail};
use broker::{Broker, JournalStart};
use clap::Args;
use envelope::{SourceName, UnixMicros};
use ledger::{Books, Ledger};
use pass::{Scope, pass};
use report::Report;
use settle::{Settled, settle};
use std::collections::HashSet;
use std::time::Duration;
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
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        if desk.topology.journal.is_none() {
            bail!(
                "the journal is off ([journal] enabled = false): nothing says what was accepted, so nothing can be compared"
            );
        }
        let broker = desk.broker().await?;
        let observer = Observer::start(broker.clone());
        let scope = Scope {
            start: JournalStart::Since(self.since),
            until: None,
            source: self.source.clone(),
        };
        let mut journaled = HashSet::new();
        let found = pass(&broker, &desk.ledger, &desk.topology, &scope, |entries| {
            journaled.extend(strays::marks(entries, &desk.topology));
        })
        .await?;
        let mut report = Report::of(&found, self.since, reach(&broker).await?);
        report.strays = strays::count(&desk.ledger, &self, &journaled).await?;
        report.settled(look_again(&observer, &desk, found.missing).await?);
        if self.repair {
            let wanted = report.unaccounted.iter().map(|it| it.key).collect();
            let republisher = Republisher::new(&broker, None, desk.stop.clone());
            report.repaired =
                repair::repair(&broker, &desk.topology, scope.start, wanted, &republisher).await?;
        }
        report.print(self.json)?;
        report.verdict()
    }
}

async fn reach(broker: &Broker) -> anyhow::Result<Option<UnixMicros>> {
    let reach = broker.journal_reach().await;
    reach.context("cannot say how far back the journal sees")
}

/// Looks for the missing until each has been found or is known to be nowhere, as long as looking helps.
async fn look_again<L: Books>(
    observer: &Observer,
    desk: &Desk<L>,
    missing: Vec<pass::Missing>,
) -> anyhow::Result<Settled> {
    let mut settled = Settled {
        in_flight: missing,
        ..Settled::default()
    };
    for _ in 0..LOOKS {
        if settled.in_flight.is_empty() || desk.stop.is_cancelled() {
            break;
        }
        sleep(BETWEEN_LOOKS).await;
        let missing = std::mem::take(&mut settled.in_flight);
        let again = settle(observer, &desk.ledger, &desk.topology, missing).await?;
        settled.found += again.found;
        settled.in_flight = again.in_flight;
        settled.unaccounted.extend(again.unaccounted);
    }
    Ok(settled)
}
