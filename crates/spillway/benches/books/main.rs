//! What keeping the books takes, at the sizes they are meant for: `cargo bench -p spillway --bench books`.
//!
//! Fills a journal and a ledger by the way every event goes (published, confirmed, applied by a worker), on
//! RabbitMQ with Postgres and then embedded, and runs the operator's commands on them as children, whose time
//! and memory it tells. `-- --events 100000` for less.

mod house;
mod letters;
mod measured;

use chaos::system::Corner;
use clap::Parser;
use house::{House, Site};
use ledger::{Books, Ledger, LedgerSettings, PostgresLedger, SqliteLedger};
use std::time::Instant;

/// What keeping the books takes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Events in the journal.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Dead letters.
    #[arg(long, default_value_t = 100_000)]
    letters: usize,
    /// Only on this.
    #[arg(long, value_enum)]
    on: Option<On>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum On {
    /// RabbitMQ and Postgres.
    Servers,
    /// The files of `serve`.
    Embedded,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let asked = Arguments::parse();
    let settings = LedgerSettings::new("bench");
    if asked.on != Some(On::Embedded) {
        let corner = Corner::new().await;
        let ledger = PostgresLedger::connect(&corner.servers.ledger, settings.clone()).await?;
        ledger.migrate().await?;
        println!("On RabbitMQ and Postgres:");
        keep(&Site::of_servers(&corner.servers)?, ledger, &asked).await?;
    }
    if asked.on != Some(On::Servers) {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db"), &settings)?;
        println!("Embedded:");
        keep(&Site::of_folder(folder.path())?, ledger, &asked).await?;
    }
    Ok(())
}

async fn keep<L: Ledger + Books>(site: &Site, ledger: L, asked: &Arguments) -> anyhow::Result<()> {
    let house = House::open(site, ledger).await?;
    let started = Instant::now();
    house.fill(asked.events).await?;
    let (events, seconds) = (asked.events, started.elapsed().as_secs());
    println!("  {events} events published and applied in {seconds} s");
    let told = measured::run(site, &["reconcile", "--since", "24h"]).await?;
    println!("  reconcile: {told}");
    letters::keep(site, &house, asked.letters).await?;
    house.close().await
}
