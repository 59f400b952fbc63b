//! How much lies where, for the metrics page.

use super::board::Board;
use super::sight::Sight;
use crate::reconcile::Observer;
use broker::{Broker, Look, QueueName, Topology};
use envelope::PipelineName;
use ledger::{Books, DeadCount};
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};
use resilience::Class;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The class of letters that still lie in their dead queue: what is in them is read when they are archived.
const UNARCHIVED: &str = "unarchived";

/// What the letters of events that no pipeline takes are filed under.
const UNROUTED: &str = "unrouted";

/// What letters can be of, as they are archived.
const CLASSES: [Class; 3] = [Class::Contention, Class::Passing, Class::Poison];

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// The gauges.
pub(super) struct Depths {
    topology: Topology,
    queues: IntGaugeVec,
    parked: IntGaugeVec,
    unrouted: IntGauge,
    letters: IntGaugeVec,
    workers: IntGaugeVec,
    oldest: GaugeVec,
}

impl Depths {
    /// Registers them, at zero where their labels are known.
    pub(super) fn register(registry: &Registry, topology: Topology) -> prometheus::Result<Self> {
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let depths = Self {
            queues: gauges(
                "queue_messages",
                "Events in a queue: ready, and unacked in the hands of those who tell of themselves.",
                &["queue", "state"],
            )?,
            parked: gauges(
                "parked_events",
                "Events waiting in the retry queues.",
                &["pipeline"],
            )?,
            unrouted: IntGauge::new(
                "unrouted_messages",
                "Events no pipeline takes, not yet archived.",
            )?,
            letters: gauges(
                "dlq_messages",
                "Dead letters: those in state dead, by class, and those not yet archived.",
                &["pipeline", "class"],
            )?,
            workers: gauges(
                "workers",
                "Workers heard of in the last five seconds.",
                &["pipeline"],
            )?,
            oldest: GaugeVec::new(
                Opts::new(
                    "queue_oldest_age_seconds",
                    "Age of the oldest event in hand; with empty hands, time since the queue was last seen empty.",
                ),
                &["pipeline"],
            )?,
            topology,
        };
        for gauges in [
            &depths.queues,
            &depths.parked,
            &depths.letters,
            &depths.workers,
        ] {
            registry.register(Box::new(gauges.clone()))?;
        }
        registry.register(Box::new(depths.unrouted.clone()))?;
        registry.register(Box::new(depths.oldest.clone()))?;
        for pipeline in &depths.topology.pipelines {
            let name = &[pipeline.name.as_str()];
            depths.parked.with_label_values(name).set(0);
            depths.workers.with_label_values(name).set(0);
            depths.oldest.with_label_values(name).set(0.0);
        }
        depths.start_at_zero();
        Ok(depths)
    }

    /// A family without a sample is not on the page at all.
    fn start_at_zero(&self) {
        for name in self.topology.pipelines.iter().map(|it| &it.name) {
            self.set(QueueName::main(name).as_str(), "ready", 0);
            self.set(QueueName::main(name).as_str(), "unacked", 0);
            let unarchived = [name.as_str(), UNARCHIVED];
            self.letters.with_label_values(&unarchived).set(0);
        }
        self.show_letters(&[]);
    }

    /// Each is set once and none is taken away in between: a reader finds all of them at any time.
    fn show_letters(&self, counts: &[DeadCount]) {
        let names = self.topology.pipelines.iter().map(|it| it.name.as_str());
        let known = names
            .chain([UNROUTED])
            .flat_map(|pipeline| CLASSES.map(move |class| ((pipeline, class.as_str()), 0)));
        let mut letters: BTreeMap<_, _> = known.collect();
        letters.extend(counts.iter().map(|count| {
            let labels = (count.pipeline.as_str(), count.class.as_str());
            (labels, count.letters)
        }));
        for ((pipeline, class), letters) in letters {
            let gauge = self.letters.with_label_values(&[pipeline, class]);
            gauge.set(signed(letters));
        }
    }

    /// Looks until told to stop. Queues and letters apart: the queues grow when the ledger is away, and are
    /// to be seen then.
    pub(super) async fn run<B: Books>(
        self,
        ledger: B,
        broker: Broker,
        observer: Observer,
        board: Board,
        stop: CancellationToken,
    ) {
        let queues = async {
            let now = Instant::now();
            let mut empty_at = vec![now; self.topology.pipelines.len()];
            loop {
                sleep(EVERY).await;
                self.look(&broker, &observer, &board, &mut empty_at).await;
            }
        };
        let letters = async {
            loop {
                sleep(EVERY).await;
                self.count_letters(&ledger).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = queues => {}
            () = letters => {}
        }
    }

    async fn count_letters<B: Books>(&self, ledger: &B) {
        if let Ok(counts) = ledger.dead_by_class().await {
            self.show_letters(&counts);
        }
    }

    /// `empty_at` is when each pipeline's queue was last seen empty, or first looked at.
    async fn look(
        &self,
        broker: &Broker,
        observer: &Observer,
        board: &Board,
        empty_at: &mut [Instant],
    ) {
        let fleet = observer.fleet();
        for (pipeline, empty_at) in self.topology.pipelines.iter().zip(empty_at) {
            match Sight::take(broker, &fleet, &pipeline.name).await {
                Ok((sight, ready)) => {
                    if sight.ready == 0 {
                        *empty_at = sight.at;
                    }
                    let age = sight.oldest_age(*empty_at);
                    self.show(&pipeline.name, &sight, age);
                    for (queue, ready) in ready {
                        self.set(queue.as_str(), "ready", ready);
                    }
                    board.saw(&pipeline.name, sight, age);
                }
                Err(why) => debug!("cannot look at the queues of {}: {why}", pipeline.name),
            }
        }
        if let Ok(looks) = broker.look(&[QueueName::unrouted()]).await {
            self.unrouted.set(looks.iter().map(waiting).sum());
        }
    }

    fn show(&self, pipeline: &PipelineName, sight: &Sight, oldest_age: Duration) {
        let name = &[pipeline.as_str()];
        self.workers
            .with_label_values(name)
            .set(signed(sight.workers));
        self.parked
            .with_label_values(name)
            .set(signed(sight.parked));
        self.oldest
            .with_label_values(name)
            .set(oldest_age.as_secs_f64());
        let main = QueueName::main(pipeline);
        self.set(main.as_str(), "unacked", sight.unacked);
        let labels = [pipeline.as_str(), UNARCHIVED];
        self.letters
            .with_label_values(&labels)
            .set(signed(sight.unarchived));
    }

    fn set(&self, queue: &str, state: &str, messages: u64) {
        self.queues
            .with_label_values(&[queue, state])
            .set(signed(messages));
    }
}

fn waiting(look: &Look) -> i64 {
    signed(look.ready + look.unacked.unwrap_or(0))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
