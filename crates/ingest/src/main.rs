//! `spillway-ingest`: the door of a cluster.

use anyhow::Context;
use broker::{Broker, BrokerUrl};
use clap::Parser;
use ingest::{Admission, Backlog, Door, Events, Renewal, Room, Spooling, Tls};
use ops::config::{self, Config, Rotation, Sources};
use ops::{Health, admin, listen, make_room_for, stop_signal, telemetry};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Receives signed webhooks and stores each on the broker before it answers 200.
#[derive(Debug, Parser)]
#[command(name = "spillway-ingest", version)]
struct Arguments {
    /// The configuration file (TOML).
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where webhooks arrive; overrides [ingest] listen.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Health and metrics; overrides [ingest] admin_listen.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
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
    config.ingest.listen = arguments.listen.unwrap_or(config.ingest.listen);
    config.ingest.admin_listen = arguments.admin_listen.unwrap_or(config.ingest.admin_listen);
    let (sources, rotation) = config::read_sources(&config)?;
    let tls = Tls::read(&config.ingest.tls)?;
    let url = broker_url(&config)?;
    if arguments.check {
        println!("the configuration is valid");
        return Ok(());
    }
    telemetry::start_logging(config.log.format);
    run(config, sources, rotation, tls, url).await
}

fn broker_url(config: &Config) -> anyhow::Result<BrokerUrl> {
    let url = config
        .broker
        .url
        .as_deref()
        .context("no broker: set SPILLWAY_BROKER_URL or [broker] url")?;
    Ok(url.parse()?)
}

async fn run(
    config: Config,
    sources: Sources,
    rotation: Rotation,
    tls: Option<(Tls, Renewal)>,
    url: BrokerUrl,
) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let registry = telemetry::registry("ingest")?;
    let terms = config::with_default_source(&config);
    let events = Events::register(&registry, sources.keys())?.watching(&registry, &terms)?;
    let reread_every = config.secrets.reread_every;
    tokio::spawn(rotation.run(reread_every, stop.clone()));
    let tls = tls.map(|(tls, renewal)| {
        tokio::spawn(renewal.run(reread_every, events.clone(), stop.clone()));
        tls
    });
    make_room_for(config.ingest.connections_max);
    let public = listen(config.ingest.listen, "webhooks")?;
    let admin = listen(config.ingest.admin_listen, "health and metrics")?;

    let topology = config::topology(&config);
    let last = CancellationToken::new();
    let health = Health::default();
    let admin = tokio::spawn(admin::serve(
        admin,
        registry.clone(),
        health.clone(),
        last.clone(),
    ));
    let broker = Broker::start(
        &url,
        &topology,
        config.broker.settings("spillway-ingest"),
        last.clone(),
    )?;
    telemetry::show_broker(&registry, broker.vitals())?;
    info!("publishing to {url}");

    let spooling = Spooling::start(&config.spool, broker.publisher(), events.clone())?;
    let spool = spooling.as_ref().map(Spooling::spool);
    // With a spool every event is taken from the start, whether the broker is there or not.
    health.set_ready(spool.is_some());

    let (publisher, bounds) = (broker.publisher(), config.ingest.clone());
    let scheme = if tls.is_some() { "https" } else { "http" };
    info!("webhooks arrive at {scheme}://{}", public.local_addr()?);
    let door = Arc::new(Door {
        sources,
        admission: Admission::new(&bounds, &terms),
        publisher,
        spool,
        backlog: Backlog::new(
            broker.watch_depth(topology.main_queues()),
            bounds.max_backlog,
        ),
        room: Room::new(&bounds),
        bounds,
        events,
    });
    let serving = tokio::spawn(ingest::serve(public, door, tls, stop.clone()));
    tokio::select! {
        ready = broker.ready() => ready?,
        () = stop.cancelled() => {}
    }
    health.set_ready(!stop.is_cancelled());
    stop.cancelled().await;
    health.set_ready(false);

    // In-flight requests first, with their confirms, then the spool's; the broker's end and the admin port
    // last.
    serving.await?;
    if let Some(spooling) = spooling {
        spooling.finish().await;
    }
    last.cancel();
    broker.stopped().await;
    admin.await?;
    Ok(())
}
