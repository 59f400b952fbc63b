//! `spillway migrate`: brings the ledger's schema up to date and ends, for whoever wants that done before the
//! programs start. They do the same themselves, one of them at a time.

use anyhow::{Context, bail};
use clap::Args;
use ledger::{LedgerSettings, LedgerUrl, SqliteLedger};
use ops::{config, stop_signal, telemetry};
use std::path::PathBuf;
use worker::start;

/// Arguments of `spillway migrate`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration file (TOML).
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Waits for a database that is away, until told to stop.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = config::load(arguments.config.as_deref())?;
    telemetry::start_logging(config.log.format);
    let url = config.ledger.url.as_deref();
    let url: LedgerUrl = url
        .context("no ledger: set SPILLWAY_LEDGER_URL or [ledger] url")?
        .parse()?;
    let settings = LedgerSettings::new("spillway migrate");
    match url {
        LedgerUrl::Postgres(url) => {
            let ledger = start::postgres(&url, settings, &stop_signal()?).await?;
            if ledger.is_none() {
                bail!("stopped before the ledger was there");
            }
        }
        LedgerUrl::Sqlite(path) => drop(SqliteLedger::open(&path, &settings)?),
    }
    println!("the ledger's schema is up to date");
    Ok(())
}
