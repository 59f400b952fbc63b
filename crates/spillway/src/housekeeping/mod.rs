//! What keeps the books beside the event path: archives dead letters, compares the journal with the ledger,
//! forgets what is old, tells of depths, and says how many workers there should be. `serve` and `control` run the
//! same; one of them is enough, two do no harm, and without any only visibility and scaling are lost.

mod board;
mod depths;
mod retention;
mod scaling;
mod sight;
mod sweep;

pub(crate) use board::Board;

use crate::archive::{self, Origin};
use crate::reconcile::{Background, Gauges, Observer};
use broker::{Broker, Pulse, QueueName, Topology};
use depths::Depths;
use envelope::UnixMicros;
use ledger::{Books, Ledger};
use ops::config::Config;
use prometheus::Registry;
use scaling::Scaling;
use std::collections::BTreeMap;
use std::time::SystemTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Starts all of it among `tasks`, none of which ends before `stop`; the board is for the admin port.
pub(crate) fn start<L: Ledger + Books>(
    tasks: &mut JoinSet<()>,
    name: &str,
    ledger: &L,
    broker: &Broker,
    config: &Config,
    registry: &Registry,
    stop: &CancellationToken,
) -> anyhow::Result<Board> {
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
        topology,
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
    watch(tasks, ledger, broker, observer, config, registry, stop)
}

/// Starts what tells of depths and says how many workers there should be, and nothing else.
pub(crate) fn watch<B: Books>(
    tasks: &mut JoinSet<()>,
    ledger: &B,
    broker: &Broker,
    observer: Observer,
    config: &Config,
    registry: &Registry,
    stop: &CancellationToken,
) -> anyhow::Result<Board> {
    let names = config.pipelines.keys();
    let board = Board::new(names.clone().cloned());
    let gauge = scaling::gauge(registry)?;
    for pipeline in names {
        let scaling = Scaling {
            ledger: ledger.clone(),
            pipeline: pipeline.clone(),
            policy: config.scaling.policy(),
            board: board.clone(),
            gauge: gauge.clone(),
        };
        tasks.spawn(scaling.run(stop.clone()));
    }
    let depths = Depths::register(registry, ops::config::topology(config))?;
    let (ledger, broker, shown) = (ledger.clone(), broker.clone(), board.clone());
    tasks.spawn(depths.run(ledger, broker, observer, shown, stop.clone()));
    Ok(board)
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
