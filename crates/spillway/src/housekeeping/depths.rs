//! How much lies where, for the metrics page.

use crate::reconcile::Observer;
use broker::{Broker, Look, QueueName, Topology};
use envelope::PipelineName;
use ledger::{Books, DeadCount};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use resilience::{Class, RETRY_DELAYS};
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
        for pipeline in &depths.topology.pipelines {
            depths
                .parked
                .with_label_values(&[pipeline.name.as_str()])
                .set(0);
            depths
                .workers
                .with_label_values(&[pipeline.name.as_str()])
                .set(0);
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

    /// Looks until told to stop.
    pub(super) async fn run<B: Books>(
        self,
        ledger: B,
        broker: Broker,
        observer: Observer,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(EVERY) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look(&ledger, &broker, &observer) => {}
            }
        }
    }

    async fn look<B: Books>(&self, ledger: &B, broker: &Broker, observer: &Observer) {
        if let Ok(counts) = ledger.dead_by_class().await {
            self.show_letters(&counts);
        }
        let fleet = observer.fleet();
        for name in self
            .topology
            .pipelines
            .iter()
            .map(|pipeline| &pipeline.name)
        {
            let main = QueueName::main(name);
            let members = fleet.at(main.as_str(), Instant::now());
            let (workers, unacked) = members.fold((0, 0), |(workers, unacked), member| {
                (workers + 1, unacked + member.pulse.unacked)
            });
            self.workers
                .with_label_values(&[name.as_str()])
                .set(workers);
            self.set(main.as_str(), "unacked", unacked);
            if let Err(why) = self.queues_of(broker, name).await {
                debug!("cannot look at the queues of {name}: {why}");
            }
        }
        if let Ok(looks) = broker.look(&[QueueName::unrouted()]).await {
            self.unrouted.set(looks.iter().map(waiting).sum());
        }
    }

    async fn queues_of(
        &self,
        broker: &Broker,
        name: &PipelineName,
    ) -> Result<(), broker::LookError> {
        let retry = |delay| QueueName::retry(name, delay);
        let mut queues = vec![QueueName::main(name), QueueName::dead(name)];
        queues.extend(RETRY_DELAYS.into_iter().map(retry));
        let looks = broker.look(&queues).await?;
        for (queue, look) in queues.iter().zip(&looks) {
            self.set(queue.as_str(), "ready", look.ready);
        }
        // In the safe place, where nobody but this sees them yet.
        let unarchived = looks.get(1).map_or(0, waiting);
        let labels = [name.as_str(), UNARCHIVED];
        self.letters.with_label_values(&labels).set(unarchived);
        let delayed = looks
            .iter()
            .map(|look| look.delayed.unwrap_or(0))
            .sum::<u64>();
        let in_retry = looks.iter().skip(2).map(|look| look.ready).sum::<u64>();
        self.parked
            .with_label_values(&[name.as_str()])
            .set(signed(delayed + in_retry));
        Ok(())
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
