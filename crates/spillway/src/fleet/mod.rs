//! `spillway fleet`: as many workers on this machine as the queue wants, for people without a cluster.
//!
//! Workers are processes of their own, so that one that dies takes nobody with it. The number is decided as
//! `control` decides it, and stands in the same ledger. Start with [`crew`].

mod crew;
mod targets;

use crate::housekeeping::{self, Board};
use crate::reconcile::Observer;
use anyhow::{Context, bail};
use broker::{Broker, BrokerUrl};
use clap::Args;
use crew::{Crew, Recruiter};
use envelope::PipelineName;
use ledger::{Books, Ledger, LedgerSettings, LedgerUrl, SqliteLedger};
use ops::config::{self, Config};
use ops::{Health, admin, listen, stop_signal, telemetry};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use targets::Targets;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;
use worker::start;

/// Between two looks at the workers: one that died is missed for no longer.
const EVERY: Duration = Duration::from_millis(250);

/// Arguments of `spillway fleet`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration file (TOML), for the workers too.
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whose workers; needed only where there are several pipelines.
    #[arg(long, value_name = "NAME")]
    pipeline: Option<PipelineName>,
    /// The most workers; overrides `scaling.max`. A control server beside it has to be told the same.
    #[arg(long, value_name = "WORKERS")]
    max: Option<u32>,
    /// The fewest; overrides `scaling.min`.
    #[arg(long, value_name = "WORKERS")]
    min: Option<u32>,
    /// Where Prometheus reads which workers there are (file_sd_configs).
    #[arg(long, value_name = "FILE", default_value = "spillway-fleet.json")]
    targets: PathBuf,
    /// Health, metrics and /scaling; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    admin_listen: SocketAddr,
}

/// Runs until told to stop.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = narrowed(config::load(arguments.config.as_deref())?, &arguments)?;
    let url = config.broker.url.as_deref();
    let broker: BrokerUrl = url
        .context("no broker: set SPILLWAY_BROKER_URL or [broker] url")?
        .parse()?;
    if matches!(broker, BrokerUrl::Embedded(_)) {
        bail!("the embedded broker has its workers in `spillway serve`: a fleet needs a RabbitMQ");
    }
    let url = config.ledger.url.as_deref();
    let ledger = url
        .context("no ledger: set SPILLWAY_LEDGER_URL or [ledger] url")?
        .parse()?;
    telemetry::start_logging(config.log.format);
    let stop = stop_signal()?;
    let settings = LedgerSettings::new("spillway fleet");
    let fleet = Fleet {
        config,
        broker,
        arguments,
    };
    match ledger {
        LedgerUrl::Postgres(url) => match start::postgres(&url, settings, &stop).await? {
            Some(ledger) => fleet.run(ledger, stop).await,
            None => Ok(()),
        },
        LedgerUrl::Sqlite(path) => {
            let ledger = SqliteLedger::open(&path, &settings)?;
            fleet.run(ledger, stop).await
        }
    }
}

/// The configuration with one pipeline and the bounds of the command line.
fn narrowed(mut config: Config, arguments: &Arguments) -> anyhow::Result<Config> {
    let pipeline = arguments.pipeline.as_ref();
    config
        .pipelines
        .retain(|name, _| pipeline.is_none_or(|wanted| wanted == name));
    match config.pipelines.len() {
        0 => bail!("there is no such pipeline in the configuration"),
        1 => {}
        _ => bail!("which pipeline? name one with --pipeline"),
    }
    let scaling = &mut config.scaling;
    scaling.max = arguments.max.unwrap_or(scaling.max);
    scaling.min = arguments.min.unwrap_or(scaling.min).min(scaling.max);
    if scaling.min == 0 {
        bail!("--min and --max have to be at least 1");
    }
    Ok(config)
}

struct Fleet {
    config: Config,
    broker: BrokerUrl,
    arguments: Arguments,
}

impl Fleet {
    async fn run<L: Ledger + Books>(
        self,
        ledger: L,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let registry = telemetry::registry("fleet")?;
        let (health, last) = (Health::default(), CancellationToken::new());
        let listener = listen(self.arguments.admin_listen, "health and metrics")?;
        let own = listener.local_addr()?;
        info!("health and metrics at http://{own}");
        let settings = self.config.broker.settings("spillway fleet");
        let topology = config::topology(&self.config);
        let broker = Broker::start(&self.broker, &topology, settings, last.clone())?;
        let mut tasks = JoinSet::new();
        let observer = Observer::start(broker.clone());
        let config = &self.config;
        let board = housekeeping::watch(
            &mut tasks, &ledger, &broker, observer, config, &registry, &last,
        )?;
        let (pages, page) = (board.pages(), health.clone());
        let admin = admin::serve_with(pages, listener, registry, page, last.clone());
        let admin = tokio::spawn(admin);
        tokio::select! {
            ready = broker.ready() => {
                ready?;
                health.set_ready(true);
            }
            () = stop.cancelled() => {}
        }
        let led = self.lead(&board, own, &stop).await;
        health.set_ready(false);
        last.cancel();
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        broker.stopped().await;
        admin.await?;
        led
    }

    /// Follows the number until told to stop, then waits until every worker has finished what it holds.
    async fn lead(
        &self,
        board: &Board,
        own: SocketAddr,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (pipeline, _) = self.config.pipelines.first_key_value().context("one")?;
        let mut targets = Targets::new(&self.arguments.targets, pipeline, own);
        let recruiter = Recruiter::new(self.arguments.config.clone(), pipeline)?;
        let mut crew = Crew::new(recruiter);
        while !stop.is_cancelled() {
            // Not known yet: nobody is started, and nobody would be stopped.
            if let Some(desired) = board.desired(pipeline) {
                crew.muster(desired as usize, Instant::now());
            }
            targets.announce(crew.addresses())?;
            stop.run_until_cancelled(sleep(EVERY)).await;
        }
        while !crew.is_gone() {
            crew.muster(0, Instant::now());
            sleep(EVERY).await;
        }
        targets.withdraw()
    }
}
