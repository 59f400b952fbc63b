//! What keeps the books beside the event path: archives dead letters, compares the journal with the ledger,
//! forgets what is old, and tells of depths. `serve` and `control` run the same; one of them is enough, two do
//! no harm, and without any only visibility is lost.

mod depths;
mod retention;
mod sweep;

use crate::archive::{self, Origin};
use crate::reconcile::{Background, Gauges, Observer};
use broker::{Broker, Pulse, QueueName, Topology};
use depths::Depths;
use envelope::UnixMicros;
use ledger::{Books, Ledger};
use ops::config::Config;
use prometheus::Registry;
use std::collections::BTreeMap;
use std::time::SystemTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Starts all of it among `tasks`, none of which ends before `stop`.
pub(crate) fn start<L: Ledger + Books>(
    tasks: &mut JoinSet<()>,
    name: &str,
    ledger: &L,
    broker: &Broker,
    config: &Config,
    registry: &Registry,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let topology = ops::config::topology(config);
    for (origin, queue) in origins(&topology) {
        pulse(name, broker, &origin, &queue);
        let consumer = broker.consumer(queue, archive::PREFETCH);
        tasks.spawn(archive::run(ledger.clone(), origin, consumer, stop.clone()));
    }
    let observer = Observer::start(broker.clone());
    let background = Background::new(
        ledger.clone(),
        broker.clone(),
        observer.clone(),
        topology.clone(),
        config.reconcile,
        Gauges::register(registry)?,
    );
    tasks.spawn(background.run(stop.clone()));
    tasks.spawn(retention::run(
        ledger.clone(),
        config.retention,
        stop.clone(),
    ));
    tasks.spawn(sweep::run(ledger.clone(), stop.clone()));
    let depths = Depths::register(registry, topology)?;
    tasks.spawn(depths.run(ledger.clone(), broker.clone(), observer, stop.clone()));
    Ok(())
}

fn origins(topology: &Topology) -> Vec<(Origin, QueueName)> {
    let mut origins = vec![(Origin::Unrouted, QueueName::unrouted())];
    for pipeline in &topology.pipelines {
        let name = pipeline.name.clone();
        origins.push((Origin::Dead(name), QueueName::dead(&pipeline.name)));
    }
    origins
}

/// An archiver has letters in hand, as a worker has events: whoever asks what is in flight has to know.
fn pulse(name: &str, broker: &Broker, origin: &Origin, queue: &QueueName) {
    let (worker, pipeline) = (format!("{name}-archiver"), origin.pipeline());
    let (source, queue) = (broker.clone(), queue.clone());
    broker.pulse(move || {
        let hand = source.in_hand(&queue);
        Pulse {
            worker: worker.clone(),
            pipeline: pipeline.clone(),
            queue: queue.to_string(),
            at: UnixMicros::from(SystemTime::now()),
            unacked: hand.unacked,
            oldest_received_at: hand.oldest_received_at,
            taken_total: hand.taken_total,
            consumers: hand.consumers,
            busy: 0.0,
            breakers: BTreeMap::new(),
        }
    });
}
