//! `spillway spool`: looks into the spool of an ingest, and empties that of one that is gone.

use anyhow::Context;
use broker::{Broker, BrokerUrl, Spool};
use clap::{Args, Subcommand};
use ops::config::{self, Config};
use ops::{stop_signal, telemetry};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks at how much is left.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Arguments of `spillway spool`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says how much lies in a spool; also while an ingest uses it.
    Status(Place),
    /// Brings everything in the spool of an ingest that is gone to the broker. Stopped half way, it leaves
    /// the rest in the spool.
    Drain {
        #[command(flatten)]
        place: Place,
        /// The configuration file (TOML).
        #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// The spool's file.
    #[arg(long, env = "SPILLWAY_SPOOL_PATH", value_name = "FILE")]
    path: PathBuf,
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Status(place) => status(&place.path),
        Command::Drain { place, config } => {
            let config = config::load(config.as_deref())?;
            telemetry::start_logging(config.log.format);
            drain(&place.path, &config).await
        }
    }
}

fn status(path: &Path) -> anyhow::Result<()> {
    let standing = Spool::look(path)?;
    println!("{} events, {} bytes", standing.events, standing.bytes);
    Ok(())
}

async fn drain(path: &Path, config: &Config) -> anyhow::Result<()> {
    // Looked at first: a path that is mistyped must not become a new, empty spool.
    let found = Spool::look(path)?.events;
    let stop = stop_signal()?;
    let last = CancellationToken::new();
    let spool = Spool::start(path, config.spool.max_bytes, last.clone())?;
    let broker = start_broker(config, last.clone())?;
    let left = tokio::select! {
        ready = broker.ready() => {
            ready?;
            empty(&spool, &broker, config, &stop).await?
        }
        () = stop.cancelled() => found,
    };
    last.cancel();
    broker.stopped().await;
    spool.stopped().await;
    println!("{} events drained, {left} left", found.saturating_sub(left));
    Ok(())
}

fn start_broker(config: &Config, last: CancellationToken) -> anyhow::Result<Broker> {
    let url = config.broker.url.as_deref();
    let url: BrokerUrl = url
        .context("no broker: set SPILLWAY_BROKER_URL or [broker] url")?
        .parse()?;
    let settings = config.broker.settings("spillway spool drain");
    Ok(Broker::start(
        &url,
        &config::topology(config),
        settings,
        last,
    )?)
}

/// Drains as an ingest does, until nothing is left or told to stop; returns how much is left.
async fn empty(
    spool: &Spool,
    broker: &Broker,
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<u64> {
    let enough = stop.child_token();
    let draining = tokio::spawn(ingest::drain(
        spool.clone(),
        broker.publisher(),
        config.spool.drain_rate,
        enough.clone(),
    ));
    while spool.standing()?.events > 0 && !stop.is_cancelled() {
        sleep(LOOK_EVERY).await;
    }
    enough.cancel();
    draining.await?;
    Ok(spool.standing()?.events)
}
