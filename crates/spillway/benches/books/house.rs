//! A broker and a worker in this process, on the servers or in the files that the commands then look at.

use anyhow::Context;
use broker::{Broker, BrokerUrl, Destination, QueueName, Settings};
use chaos::system::Servers;
use envelope::{Attempt, Envelope, SourceName, UnixMicros};
use futures_util::{StreamExt, TryStreamExt, stream};
use ledger::{Books, Ledger, Recall};
use ops::config;
use prometheus::Registry;
use std::path::Path;
use std::time::{Duration, SystemTime};
use testkit::Program;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use worker::handlers::payments::Payments;
use worker::{Bounds, Worker};

/// Unconfirmed at a time: what four channels confirm together at their best.
const IN_FLIGHT: usize = 512;

/// Where it all lies.
pub struct Site {
    broker: BrokerUrl,
    program: Program,
    data_dir: Option<String>,
}

/// Both at work.
pub struct House<L> {
    pub ledger: L,
    broker: Broker,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Site {
    pub fn of_servers(servers: &Servers) -> anyhow::Result<Self> {
        Ok(Self {
            broker: servers.broker.parse()?,
            program: servers.program("spillway"),
            data_dir: None,
        })
    }

    pub fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            broker: format!("embedded:{}", folder.join("broker.db").display()).parse()?,
            program: Program::new("spillway"),
            data_dir: Some(folder.display().to_string()),
        })
    }

    /// A command of the operator's.
    pub fn command(&self, arguments: &[&str]) -> Program {
        let program = self.program.clone().args(arguments);
        match &self.data_dir {
            Some(folder) => program.args(["--data-dir", folder]),
            None => program,
        }
    }
}

impl<L: Ledger + Books> House<L> {
    pub async fn open(site: &Site, ledger: L) -> anyhow::Result<Self> {
        let (config, stop) = (config::load(None)?, CancellationToken::new());
        let topology = config::topology(&config);
        let mut settings = Settings::of("bench");
        // Nobody kills this broker.
        settings.settle_new_queues = Duration::ZERO;
        let broker = Broker::start(&site.broker, &topology, settings, stop.clone())?;
        broker.ready().await?;
        let pipeline = config.pipelines.keys().next().context("no pipeline")?;
        let bounds = Bounds::from(&config.worker);
        let worker = Worker::new(
            "bench".to_owned(),
            pipeline.clone(),
            ledger.clone(),
            Recall::none(),
            Payments,
            broker.publisher(),
            worker::Metrics::register(&Registry::new(), std::iter::empty())?.of(pipeline, "bench"),
            bounds,
        );
        worker.pulse(&broker);
        let (queue, source) = (QueueName::main(pipeline), broker.clone());
        let consume = move || source.consumer(queue.clone(), bounds.prefetch);
        let work = tokio::spawn(worker.run(consume, stop.clone()));
        Ok(Self {
            ledger,
            broker,
            stop,
            work,
        })
    }

    /// Publishes so many payments as a door does, and waits until all are applied.
    pub async fn fill(&self, events: usize) -> anyhow::Result<()> {
        let publisher = self.broker.publisher();
        let numbers = stream::iter(0..events).map(Ok::<_, anyhow::Error>);
        numbers
            .try_for_each_concurrent(IN_FLIGHT, |number| {
                let publisher = &publisher;
                async move {
                    let event = payment(&format!("evt_{number}"))?;
                    while publisher
                        .publish(Destination::Events, event.clone())
                        .await
                        .is_err()
                    {
                        sleep(Duration::from_millis(50)).await;
                    }
                    Ok(())
                }
            })
            .await?;
        self.until_applied((0..events).map(|number| format!("evt_{number}")))
            .await
    }

    /// Waits until each of these has made a payment, and none has made two.
    pub async fn until_applied(&self, ids: impl Iterator<Item = String>) -> anyhow::Result<()> {
        let name = |id: String| Ok((source(), id.parse()?));
        let names: Vec<_> = ids.map(name).collect::<anyhow::Result<_>>()?;
        for names in names.chunks(1_000) {
            loop {
                let payments = self.ledger.effects(names).await?;
                anyhow::ensure!(payments.iter().all(|times| *times < 2), "applied twice");
                if payments.iter().all(|times| *times == 1) {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    pub async fn close(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.work.await?;
        self.broker.stopped().await;
        Ok(())
    }
}

pub fn source() -> SourceName {
    "default".parse().expect("a name of ours")
}

/// A payment as the door seals it.
pub fn payment(id: &str) -> anyhow::Result<Envelope> {
    let order = format!(r#""orderId":"order_{id}","amount":7,"status":"completed""#);
    Ok(Envelope {
        event_id: id.parse()?,
        source: source(),
        body: format!(r#"{{"id":"{id}",{order}}}"#).into(),
        content_type: None,
        received_at: UnixMicros::from(SystemTime::now()),
        signed_at: None,
        signature_digest: None,
        attempt: Attempt::FIRST,
        parked: 0,
        replays: 0,
        note: None,
        traceparent: None,
    })
}
