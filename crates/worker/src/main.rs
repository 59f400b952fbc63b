//! `spillway-worker`: applies the events of one pipeline.

use anyhow::{Context, bail};
use broker::{Broker, QueueName};
use clap::Parser;
use envelope::PipelineName;
use ledger::{Ledger, LedgerSettings, LedgerUrl, Recall, SqliteLedger};
use ops::config::{self, Config, HandlerName};
use ops::{Health, admin, listen, stop_signal, stop_when_stdin_ends, telemetry};
use prometheus::Registry;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;
use tracing::info;
use worker::handlers::payments::Payments;
use worker::{Bounds, Metrics, Worker, unique_name};

/// Takes events off the queue and applies each once.
#[derive(Debug, Parser)]
#[command(name = "spillway-worker", version)]
struct Arguments {
    /// The configuration file (TOML).
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which pipeline to work on; needed only where there are several.
    #[arg(long, value_name = "NAME")]
    pipeline: Option<PipelineName>,
    /// Health and metrics; overrides [worker] admin_listen. Port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Also stops when its standard input ends, which it does with whoever started it.
    #[arg(long)]
    until_stdin_ends: bool,
    /// Validates the configuration and exits.
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let _armed = failpoints::arm();
    ops::exit(start(Arguments::parse()).await)
}

async fn start(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = config::load(arguments.config.as_deref())?;
    config.worker.admin_listen = arguments.admin_listen.unwrap_or(config.worker.admin_listen);
    config.worker.pipeline = arguments.pipeline.or(config.worker.pipeline);
    let program = Program::new(config, arguments.until_stdin_ends)?;
    if arguments.check {
        println!("the configuration is valid");
        return Ok(());
    }
    telemetry::start_logging(program.config.log.format);
    program.run().await
}

struct Program {
    config: Config,
    pipeline: PipelineName,
    name: String,
    ledger: LedgerUrl,
    recall: Recall,
    until_stdin_ends: bool,
}

impl Program {
    fn new(config: Config, until_stdin_ends: bool) -> anyhow::Result<Self> {
        let pipeline = the_pipeline(&config)?;
        let ledger = config
            .ledger
            .url
            .as_deref()
            .context("no ledger: set SPILLWAY_LEDGER_URL or [ledger] url")?;
        let ledger = ledger.parse()?;
        let recall = match &config.recall.url {
            Some(url) => Recall::redis(&url.parse()?)?,
            None => Recall::none(),
        };
        Ok(Self {
            pipeline,
            ledger,
            recall,
            name: unique_name(),
            config,
            until_stdin_ends,
        })
    }

    async fn run(self) -> anyhow::Result<()> {
        let (stop, last) = (stop_signal()?, CancellationToken::new());
        if self.until_stdin_ends {
            stop_when_stdin_ends(&stop);
        }
        let registry = telemetry::registry("worker")?;
        let admin = listen(self.config.worker.admin_listen, "health and metrics")?;
        info!("health and metrics at http://{}", admin.local_addr()?);
        let health = Health::default();
        let admin = tokio::spawn(admin::serve(
            admin,
            registry.clone(),
            health.clone(),
            last.clone(),
        ));

        let settings = LedgerSettings::new(self.name.clone());
        let ran = match &self.ledger {
            LedgerUrl::Postgres(url) => match worker::start::postgres(url, settings, &stop).await {
                Ok(Some(ledger)) => self.work(ledger, registry, health, stop, &last).await,
                Ok(None) => Ok(()),
                Err(why) => Err(why.into()),
            },
            LedgerUrl::Sqlite(path) => {
                self.work(
                    SqliteLedger::open(path, &settings)?,
                    registry,
                    health,
                    stop,
                    &last,
                )
                .await
            }
        };
        last.cancel();
        admin.await?;
        ran
    }

    async fn work<L: Ledger>(
        &self,
        ledger: L,
        registry: Registry,
        health: Health,
        stop: CancellationToken,
        last: &CancellationToken,
    ) -> anyhow::Result<()> {
        let url = self
            .config
            .broker
            .url
            .as_deref()
            .context("no broker: set SPILLWAY_BROKER_URL or [broker] url")?;
        let settings = self
            .config
            .broker
            .settings(format!("spillway-worker {}", self.name));
        let broker = Broker::start(
            &url.parse()?,
            &config::topology(&self.config),
            settings,
            last.clone(),
        )?;
        telemetry::show_broker(&registry, broker.vitals())?;
        let bounds = Bounds::from(&self.config.worker);
        let metrics = Metrics::register(&registry, self.config.sources.keys())?;
        let events = metrics.of(&self.pipeline, &self.name);
        let (name, pipeline) = (self.name.clone(), self.pipeline.clone());
        let worker = Worker::new(
            name,
            pipeline,
            ledger,
            self.recall.clone(),
            self.handler(),
            broker.publisher(),
            events,
            bounds,
        )
        .guarding(&self.config.sources)
        .remembering(self.config.retention.processed);
        let (queue, source) = (QueueName::main(&self.pipeline), broker.clone());
        let consume = move || source.consumer(queue.clone(), bounds.prefetch);
        worker.pulse(&broker);
        let mut working = tokio::spawn(worker.run(consume, stop.clone()));
        tokio::select! {
            ready = broker.ready() => ready?,
            () = stop.cancelled() => {}
        }
        health.set_ready(!stop.is_cancelled());
        tokio::select! {
            // Asked first: a worker with nothing in hand has ended by the time we look, and as it was told to.
            biased;
            () = stop.cancelled() => {}
            // It ends early only by a defect. Without it events would pile up in silence: whoever started
            // us starts us again, and the events are all still there.
            ended = &mut working => {
                ended?;
                bail!("the worker ended by itself");
            }
        }
        health.set_ready(false);
        working.await?;
        last.cancel();
        broker.stopped().await;
        Ok(())
    }

    fn handler(&self) -> Payments {
        match self
            .config
            .pipelines
            .get(&self.pipeline)
            .map(|pipeline| pipeline.handler)
        {
            Some(HandlerName::Payments) | None => Payments,
        }
    }
}

fn the_pipeline(config: &Config) -> anyhow::Result<PipelineName> {
    let names: Vec<&str> = config.pipelines.keys().map(PipelineName::as_str).collect();
    match (&config.worker.pipeline, config.pipelines.keys().next()) {
        (Some(name), _) if config.pipelines.contains_key(name) => Ok(name.clone()),
        (Some(name), _) => bail!(
            "there is no pipeline {name}; there are: {}",
            names.join(", ")
        ),
        (None, Some(only)) if names.len() == 1 => Ok(only.clone()),
        (None, _) => bail!(
            "which pipeline? name one with --pipeline: {}",
            names.join(", ")
        ),
    }
}
