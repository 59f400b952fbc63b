//! `spillway control`: keeps the books of a cluster. Not on the way of any event.

use crate::housekeeping;
use anyhow::Context;
use broker::{Broker, BrokerUrl};
use clap::Args;
use ledger::{Books, Ledger, LedgerSettings, LedgerUrl, SqliteLedger};
use ops::config::{self, Config};
use ops::{Health, admin, listen, stop_signal, telemetry};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;
use worker::{start, unique_name};

/// Arguments of `spillway control`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration file (TOML).
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Health and metrics; overrides `control.listen`. Port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Validates the configuration and exits.
    #[arg(long)]
    check: bool,
}

/// Runs until told to stop.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = config::load(arguments.config.as_deref())?;
    config.control.listen = arguments.listen.unwrap_or(config.control.listen);
    let broker: BrokerUrl = config
        .broker
        .url
        .as_deref()
        .context("no broker: set SPILLWAY_BROKER_URL or [broker] url")?
        .parse()?;
    let ledger: LedgerUrl = config
        .ledger
        .url
        .as_deref()
        .context("no ledger: set SPILLWAY_LEDGER_URL or [ledger] url")?
        .parse()?;
    if arguments.check {
        println!("the configuration is valid");
        return Ok(());
    }
    telemetry::start_logging(config.log.format);
    let stop = stop_signal()?;
    let control = Control {
        name: unique_name(),
        config,
        broker,
    };
    let settings = LedgerSettings::new(control.name.clone());
    match ledger {
        LedgerUrl::Postgres(url) => match start::postgres(&url, settings, &stop).await? {
            Some(ledger) => control.run(ledger, stop).await,
            None => Ok(()),
        },
        LedgerUrl::Sqlite(path) => {
            control
                .run(SqliteLedger::open(&path, &settings)?, stop)
                .await
        }
    }
}

struct Control {
    name: String,
    config: Config,
    broker: BrokerUrl,
}

impl Control {
    async fn run<L: Ledger + Books>(
        self,
        ledger: L,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let registry = telemetry::registry("control")?;
        let (health, last) = (Health::default(), CancellationToken::new());
        let listener = listen(self.config.control.listen, "health and metrics")?;
        info!("health and metrics at http://{}", listener.local_addr()?);
        let settings = self.config.broker.settings("spillway control");
        let topology = config::topology(&self.config);
        let broker = Broker::start(&self.broker, &topology, settings, last.clone())?;
        telemetry::show_broker(&registry, broker.vitals())?;
        let mut tasks = JoinSet::new();
        let (name, config) = (&self.name, &self.config);
        let board =
            housekeeping::start(&mut tasks, name, &ledger, &broker, config, &registry, &stop)?;
        let (pages, health_page) = (board.pages(), health.clone());
        let admin = admin::serve_with(pages, listener, registry, health_page, last.clone());
        let admin = tokio::spawn(admin);
        tokio::select! {
            ready = broker.ready() => {
                ready?;
                health.set_ready(true);
            }
            () = stop.cancelled() => {}
        }
        // They end after the stop, and before it only by a defect: then whoever started us starts us again.
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        health.set_ready(false);
        last.cancel();
        broker.stopped().await;
        admin.await?;
        Ok(())
    }
}
