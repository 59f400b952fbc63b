//! `spillway serve`: the whole system in one process. The same code as in a cluster; only the URLs differ.

mod banner;

use crate::data_dir::{self, DataDir};
use crate::housekeeping;
use anyhow::{Context, bail};
use banner::Banner;
use broker::{Broker, QueueName};
use clap::Args;
use ingest::{Admission, Backlog, Door, Renewal, Room, Tls};
use ledger::{Books, Ledger, LedgerSettings, LedgerUrl, Recall, SqliteLedger};
use ops::config::{self, Config, Rotation, SecretRef, SourceConfig, Sources};
use ops::{Health, admin, listen, make_room_for, stop_signal, telemetry};
use prometheus::Registry;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::handlers::payments::Payments;
use worker::{Bounds, Metrics, Worker, start, unique_name};

/// Arguments of `spillway serve`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration file (TOML). Without one everything is embedded.
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the queue, the ledger and the generated secret are kept.
    #[arg(long, default_value = data_dir::DEFAULT, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Where webhooks arrive.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Health and metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9080")]
    admin_listen: SocketAddr,
    /// Validates the configuration and exits.
    #[arg(long)]
    check: bool,
}

/// Runs until told to stop.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = config::load(arguments.config.as_deref())?;
    if arguments.check {
        // Where it names no source, one is made at the start.
        if has_sources(&config) {
            config::read_sources(&config)?;
        }
        Tls::read(&config.ingest.tls)?;
        println!("the configuration is valid");
        return Ok(());
    }
    telemetry::start_logging(config.log.format);
    let data_dir = DataDir::new(&arguments.data_dir);
    let _locked = data_dir.lock()?;
    let generated = with_defaults(&mut config, &data_dir)?;
    let (sources, rotation) = config::read_sources(&config)?;
    make_room_for(config.ingest.connections_max);
    let tls = Tls::read(&config.ingest.tls)?;
    let is_tls = tls.is_some();
    let server = Server {
        sources,
        tls,
        rotation,
        public: listen(arguments.listen, "webhooks")?,
        admin: listen(arguments.admin_listen, "health and metrics")?,
        name: unique_name(),
        config,
    };
    let banner = Banner::new(
        &server.public,
        &server.admin,
        &arguments.data_dir,
        generated,
        is_tls,
    )?;
    server.run(banner).await
}

/// What the configuration leaves open is embedded in the folder. True where the secret is ours.
fn with_defaults(config: &mut Config, data_dir: &DataDir) -> anyhow::Result<Option<PathBuf>> {
    let embedded = |scheme: &str, path: PathBuf| format!("{scheme}:{}", path.display());
    config
        .broker
        .url
        .get_or_insert_with(|| embedded("embedded", data_dir.broker()));
    config
        .ledger
        .url
        .get_or_insert_with(|| embedded("sqlite", data_dir.ledger()));
    if has_sources(config) {
        return Ok(None);
    }
    data_dir.make_secret()?;
    let secrets = vec![SecretRef::File(data_dir.secret())];
    let source = SourceConfig::of(secrets);
    config
        .sources
        .insert("default".parse().context("a name of ours")?, source);
    Ok(Some(data_dir.secret()))
}

fn has_sources(config: &Config) -> bool {
    !config.sources.is_empty() || std::env::var_os(config::WEBHOOK_SECRET).is_some()
}

struct Server {
    config: Config,
    sources: Sources,
    rotation: Rotation,
    tls: Option<(Tls, Renewal)>,
    public: TcpListener,
    admin: TcpListener,
    name: String,
}

/// Stages of a stop, in this order: each finishes before the next is told.
#[derive(Debug, Default)]
struct Stages {
    /// Workers and archivers, after the door has answered what was in flight.
    work: CancellationToken,
    /// The broker and the admin port, after the last acks.
    last: CancellationToken,
}

impl Server {
    async fn run(self, banner: Banner) -> anyhow::Result<()> {
        let stop = stop_signal()?;
        let settings = LedgerSettings::new(self.name.clone());
        let url: LedgerUrl = self
            .config
            .ledger
            .url
            .as_deref()
            .unwrap_or_default()
            .parse()?;
        match url {
            LedgerUrl::Postgres(url) => match start::postgres(&url, settings, &stop).await? {
                Some(ledger) => self.serve(ledger, banner, stop).await,
                None => Ok(()),
            },
            LedgerUrl::Sqlite(path) => {
                self.serve(SqliteLedger::open(&path, &settings)?, banner, stop)
                    .await
            }
        }
    }

    async fn serve<L: Ledger + Books>(
        self,
        ledger: L,
        banner: Banner,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let stages = Stages::default();
        let registry = telemetry::registry("serve")?;
        let health = Health::default();
        let url = self
            .config
            .broker
            .url
            .as_deref()
            .unwrap_or_default()
            .parse()?;
        let topology = config::topology(&self.config);
        let broker = Broker::start(
            &url,
            &topology,
            self.config.broker.settings("spillway serve"),
            stages.last.clone(),
        )?;
        telemetry::show_broker(&registry, broker.vitals())?;

        let mut workers = self.start_workers(&ledger, &broker, &registry, &stages)?;
        let (name, config, stop_work) = (&self.name, &self.config, &stages.work);
        let board = housekeeping::start(
            &mut workers,
            name,
            &ledger,
            &broker,
            config,
            &registry,
            stop_work,
        )?;
        let terms = config::with_default_source(&self.config);
        let events = ingest::Events::register(&registry, self.sources.keys())?
            .watching(&registry, &terms)?;
        let reread_every = self.config.secrets.reread_every;
        tokio::spawn(self.rotation.run(reread_every, stop.clone()));
        let tls = self.tls.map(|(tls, renewal)| {
            tokio::spawn(renewal.run(reread_every, events.clone(), stop.clone()));
            tls
        });
        let admin = tokio::spawn(admin::serve_with(
            board.pages(),
            self.admin,
            registry,
            health.clone(),
            stages.last.clone(),
        ));
        let (bounds, publisher) = (self.config.ingest, broker.publisher());
        let door = Door {
            sources: self.sources,
            admission: Admission::new(&bounds, &terms),
            publisher,
            // Its broker is in this process and never away.
            spool: None,
            backlog: Backlog::new(
                broker.watch_depth(topology.main_queues()),
                bounds.max_backlog,
            ),
            room: Room::new(&bounds),
            bounds,
            events,
        };
        let door = tokio::spawn(ingest::serve(
            self.public,
            Arc::new(door),
            tls,
            stop.clone(),
        ));

        tokio::select! {
            ready = broker.ready() => ready?,
            () = stop.cancelled() => {}
        }
        health.set_ready(!stop.is_cancelled());
        banner.print();
        tokio::select! {
            // Asked first: what was told to stop has not ended by itself.
            biased;
            () = stop.cancelled() => {}
            // A worker ends early only by a defect. Without it events would pile up in silence: whoever
            // started us starts us again, and the events are all still there.
            Some(ended) = workers.join_next() => {
                ended?;
                bail!("a worker ended by itself");
            }
        }
        health.set_ready(false);

        door.await?;
        stages.work.cancel();
        while let Some(ended) = workers.join_next().await {
            ended?;
        }
        stages.last.cancel();
        broker.stopped().await;
        admin.await?;
        Ok(())
    }

    fn start_workers<L: Ledger>(
        &self,
        ledger: &L,
        broker: &Broker,
        registry: &Registry,
        stages: &Stages,
    ) -> anyhow::Result<JoinSet<()>> {
        let mut tasks = JoinSet::new();
        let recall = match &self.config.recall.url {
            Some(url) => Recall::redis(&url.parse()?)?,
            None => Recall::none(),
        };
        let bounds = Bounds::from(&self.config.worker);
        let metrics = Metrics::register(registry, self.sources.keys())?;
        for pipeline in self.config.pipelines.keys() {
            let worker = Worker::new(
                self.name.clone(),
                pipeline.clone(),
                ledger.clone(),
                recall.clone(),
                Payments,
                broker.publisher(),
                metrics.of(pipeline, &self.name),
                bounds,
            )
            .guarding(&self.config.sources)
            .remembering(self.config.retention.processed);
            let (queue, source) = (QueueName::main(pipeline), broker.clone());
            let consume = move || source.consumer(queue.clone(), bounds.prefetch);
            worker.pulse(broker);
            tasks.spawn(worker.run(consume, stages.work.clone()));
        }
        Ok(tasks)
    }
}
