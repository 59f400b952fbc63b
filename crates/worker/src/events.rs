//! What happened, for operators: the log line and the metric of one event live in one function.

use crate::busy::{AtWork, Busy, Utilization};
use crate::disposition::Disposition;
use envelope::{Envelope, EventId, PipelineName, SourceName, TraceParent, UnixMicros};
use ledger::Claimed;
use prometheus::{
    Histogram, HistogramOpts, HistogramTimer, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use resilience::{BreakerState, Class, Fault, Reason};
use std::sync::Arc;
use tracing::{Span, debug, debug_span, info, warn};

/// The bounds of an event's age, with the alert's threshold of 30 s and the retry delays on edges.
const AGE_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 300.0,
];
const BATCH_EVENTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// The bounds of a batch's time: a commit takes milliseconds, and the ledger's breaker gives it up after 30 s.
const BATCH_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const FAULTS: [Class; 4] = [
    Class::Ours,
    Class::Contention,
    Class::Passing,
    Class::Poison,
];

/// The metrics of all workers of one process, registered once.
#[derive(Clone, Debug)]
pub struct Metrics {
    endings: IntCounterVec,
    dead: IntCounterVec,
    conflicts: IntCounterVec,
    faults: IntCounterVec,
    age_seconds: HistogramVec,
    batch_size: Histogram,
    batch_seconds: Histogram,
    dedupe: Dedupe,
    ledger: Breaker,
    redis: Breaker,
    utilization: Utilization,
}

/// The metrics and log lines of one worker. Nothing that happens to every event is looked up by its labels.
#[derive(Clone, Debug)]
pub struct Events {
    worker: Arc<str>,
    pipeline: PipelineName,
    endings: Endings,
    age_seconds: Histogram,
    busy: Busy,
    metrics: Metrics,
}

/// Deliveries by their ending.
#[derive(Clone, Debug)]
struct Endings {
    applied: IntCounter,
    duplicate: IntCounter,
    retried: IntCounter,
    parked: IntCounter,
    dead: IntCounter,
    released: IntCounter,
}

/// What was found out about an event's key.
#[derive(Clone, Debug)]
struct Dedupe {
    granted: IntCounter,
    recalled: IntCounter,
    held_elsewhere: IntCounter,
    bypassed: IntCounter,
    duplicate: IntCounter,
    conflict: IntCounter,
    replay_alarm: IntCounter,
}

/// Where the breaker of one dependency stands: 1 in its state, 0 in the others.
#[derive(Clone, Debug)]
struct Breaker([(BreakerState, IntGauge); BreakerState::ALL.len()]);

impl Metrics {
    /// Registers the metrics, at zero from the start: conflicting bodies for each of these sources, and for
    /// `default`, which needs no configuration.
    ///
    /// # Errors
    /// Where a metric of the same name is registered already.
    pub fn register<'a>(
        registry: &Registry,
        sources: impl Iterator<Item = &'a SourceName>,
    ) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = Histogram::with_opts(opts)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let age = HistogramOpts::new("event_age_seconds", "From receipt to commit.");
        let breakers = IntGaugeVec::new(
            Opts::new(
                "breaker_state",
                "1 for the state a dependency's breaker is in, else 0.",
            ),
            &["dependency", "state"],
        )?;
        let metrics = Self {
            endings: counters(
                "worker_events_total",
                "Deliveries by their ending.",
                &["pipeline", "outcome"],
            )?,
            dead: counters(
                "dead_letters_total",
                "Events given up, by class and reason.",
                &["pipeline", "class", "reason"],
            )?,
            conflicts: counters(
                "conflicting_bodies_total",
                "Event ids that came again with another body.",
                &["source"],
            )?,
            faults: counters(
                "ledger_faults_total",
                "Transactions that failed, by whose fault it was.",
                &["class"],
            )?,
            age_seconds: HistogramVec::new(age.buckets(AGE_SECONDS.to_vec()), &["pipeline"])?,
            batch_size: histogram("batch_size", "Deliveries in a batch.", BATCH_EVENTS)?,
            batch_seconds: histogram(
                "batch_seconds",
                "From taking a batch to the ending of its last delivery.",
                BATCH_SECONDS,
            )?,
            dedupe: Dedupe::of(&counters(
                "dedupe_total",
                "What Redis and the ledger said about an event's key.",
                &["result"],
            )?),
            ledger: Breaker::of("ledger", &breakers),
            redis: Breaker::of("redis", &breakers),
            utilization: Utilization::new()?,
        };
        registry.register(Box::new(breakers))?;
        registry.register(Box::new(metrics.age_seconds.clone()))?;
        registry.register(Box::new(metrics.utilization.clone()))?;
        for class in FAULTS {
            let _ = metrics.faults.with_label_values(&[class.as_str()]);
        }
        for source in sources.map(SourceName::as_str).chain(["default"]) {
            let _ = metrics.conflicts.with_label_values(&[source]);
        }
        Ok(metrics)
    }

    /// Those of one worker, at zero.
    pub fn of(&self, pipeline: &PipelineName, worker: &str) -> Events {
        for reason in Reason::ALL {
            let class = reason.class().as_str();
            let labels = [pipeline.as_str(), class, reason.as_str()];
            let _ = self.dead.with_label_values(&labels);
        }
        let busy = Busy::default();
        self.utilization.watch(busy.clone());
        Events {
            worker: worker.into(),
            pipeline: pipeline.clone(),
            endings: Endings::of(&self.endings, pipeline),
            age_seconds: self.age_seconds.with_label_values(&[pipeline.as_str()]),
            busy,
            metrics: self.clone(),
        }
    }
}

impl Endings {
    fn of(endings: &IntCounterVec, pipeline: &PipelineName) -> Self {
        let ending = |outcome| endings.with_label_values(&[pipeline.as_str(), outcome]);
        Self {
            applied: ending("applied"),
            duplicate: ending("duplicate"),
            retried: ending("retried"),
            parked: ending("parked"),
            dead: ending("dead"),
            released: ending("released"),
        }
    }
}

impl Dedupe {
    fn of(results: &IntCounterVec) -> Self {
        let result = |word| results.with_label_values(&[word]);
        Self {
            granted: result("granted"),
            recalled: result("recalled"),
            held_elsewhere: result("held_elsewhere"),
            bypassed: result("bypassed"),
            duplicate: result("duplicate"),
            conflict: result("conflict"),
            replay_alarm: result("replay_alarm"),
        }
    }
}

impl Breaker {
    fn of(dependency: &str, breakers: &IntGaugeVec) -> Self {
        Self(BreakerState::ALL.map(|state| {
            let labels = [dependency, state.as_str()];
            (state, breakers.with_label_values(&labels))
        }))
    }

    fn is_in(&self, now: BreakerState) {
        for (state, gauge) in &self.0 {
            gauge.set(i64::from(*state == now));
        }
    }
}

/// A batch is in work until this is dropped, however its work ends.
#[derive(Debug)]
pub(crate) struct BatchInWork<'a> {
    _timer: HistogramTimer,
    _at_work: AtWork<'a>,
}

impl Events {
    /// A batch of so many is in work until the answer is dropped.
    pub(crate) fn batch(&self, deliveries: usize) -> BatchInWork<'_> {
        self.metrics.batch_size.observe(deliveries as f64);
        BatchInWork {
            _timer: self.metrics.batch_seconds.start_timer(),
            _at_work: self.busy.begin(),
        }
    }

    /// How busy this worker is.
    pub(crate) fn busy(&self) -> &Busy {
        &self.busy
    }

    /// Signed bytes came again under another event id, and the source's guard is on `alarm`: the event is
    /// applied. Ask the sender whether it was theirs; where it was not, set the guard to `quarantine`.
    pub(crate) fn let_through(&self, id: &EventId, source: &SourceName) {
        self.metrics.dedupe.replay_alarm.inc();
        warn!(event.id = %id, source.name = %source, pipeline = %self.pipeline, "{id} of {source} carries signed bytes that were applied before under another id: let through");
    }

    /// An event is tried alone: it was in hand when workers died. `starts` above zero means that it was
    /// tried before and the worker died of it, or was killed at that very moment; after three it is dead.
    pub(crate) fn suspected(&self, id: &EventId, starts: u32) {
        if starts > 0 {
            warn!(event.id = %id, pipeline = %self.pipeline, starts, "{id} is tried alone: {starts} workers died of it");
        } else {
            debug!(event.id = %id, pipeline = %self.pipeline, "{id} is tried alone");
        }
    }

    /// Redis has spoken, or not in time (`bypassed`): then the ledger alone deduplicates, which is slower
    /// in a storm and just as right. A rate of `bypassed` above zero is worth a look at Redis.
    pub(crate) fn claimed(&self, claimed: Claimed) {
        let dedupe = &self.metrics.dedupe;
        let result = match claimed {
            Claimed::Granted => &dedupe.granted,
            Claimed::AlreadyApplied => &dedupe.recalled,
            Claimed::HeldElsewhere => &dedupe.held_elsewhere,
            Claimed::Unknown => &dedupe.bypassed,
        };
        result.inc();
    }

    /// A transaction failed. `ours` means that the database is away or misconfigured: the batch is held
    /// and tried again until it is back.
    pub(crate) fn ledger_fault(&self, fault: &Fault) {
        self.fault_of(fault.class);
        warn!(fault.class = %fault.class, "a batch could not be applied: {fault}");
    }

    /// A fault that no rule of ours names has hit one event after the other: it is taken for the database's.
    /// Look the code up, mend what it names, and tell us: a rule should name it.
    pub(crate) fn everybodys(&self, code: &str) {
        let ours = Class::Ours.as_str();
        self.fault_of(Class::Ours);
        warn!(
            fault.class = ours,
            fault.code = code,
            "{code} hits every event: taken for a fault of the database"
        );
    }

    /// The ledger's breaker has changed. While it is open nothing is consumed: the events wait in their
    /// queue and spend no attempts. Mend the database; consumption resumes by itself.
    pub(crate) fn ledger_breaker(&self, now: BreakerState) {
        self.metrics.ledger.is_in(now);
        info!(
            state = now.as_str(),
            "the ledger's breaker is {}",
            now.as_str()
        );
    }

    /// Redis' breaker has been looked at. While it is open the worker goes on without claims: slower in a
    /// storm of duplicates, and just as right.
    pub(crate) fn recall(&self, bypassed: bool) {
        let state = if bypassed {
            BreakerState::Open
        } else {
            BreakerState::Closed
        };
        self.metrics.redis.is_in(state);
    }

    fn fault_of(&self, class: Class) {
        let faults = &self.metrics.faults;
        faults.with_label_values(&[class.as_str()]).inc();
    }

    /// An event in the hands of this worker. The span is of level debug, as everything is that happens to
    /// every event; its trace is that of the sender's request.
    fn in_hand(&self, envelope: &Envelope) -> Span {
        debug_span!(
            "event",
            worker = %self.worker,
            trace.id = trace_of(envelope),
            parent.id = envelope.traceparent.as_ref().map(TraceParent::parent_id)
        )
    }

    /// An event was taken off the queue. With its ending this shows whether two workers had it at once.
    pub(crate) fn taken(&self, envelope: &Envelope) {
        let _span = self.in_hand(envelope).entered();
        let (id, source) = (&envelope.event_id, &envelope.source);
        debug!(event.id = %id, source.name = %source, pipeline = %self.pipeline, attempt = envelope.attempt.number(), "took {id}");
    }

    /// A delivery has met its ending.
    pub(crate) fn settled(&self, envelope: &Envelope, disposition: &Disposition, now: UnixMicros) {
        let _span = self.in_hand(envelope).entered();
        let (id, source) = (&envelope.event_id, &envelope.source);
        let attempt = envelope.attempt.number();
        let ending = match disposition {
            Disposition::Ack { fresh: true, .. } => {
                self.age_seconds
                    .observe(now.since(envelope.received_at).as_secs_f64());
                debug!(event.id = %id, source.name = %source, pipeline = %self.pipeline, attempt, "applied {id}");
                &self.endings.applied
            }
            Disposition::Ack { fresh: false, .. } => {
                self.metrics.dedupe.duplicate.inc();
                debug!(event.id = %id, source.name = %source, pipeline = %self.pipeline, attempt, "{id} was applied before");
                &self.endings.duplicate
            }
            Disposition::Retry(delay, fault) => {
                let trace = trace_of(envelope);
                info!(event.id = %id, source.name = %source, pipeline = %self.pipeline, attempt, trace.id = trace, "{id} failed, again in {delay:?}: {fault}");
                &self.endings.retried
            }
            Disposition::Park => {
                debug!(event.id = %id, source.name = %source, pipeline = %self.pipeline, attempt, "parked {id}");
                &self.endings.parked
            }
            Disposition::Release => {
                debug!(event.id = %id, source.name = %source, pipeline = %self.pipeline, attempt, "released {id}");
                &self.endings.released
            }
            Disposition::DeadLetter(fault) => {
                self.given_up(envelope, fault);
                &self.endings.dead
            }
        };
        ending.inc();
    }

    /// An event is given up. It lies in the dead queue, then in `dead_letters`; its reason says what to
    /// mend before it is replayed.
    fn given_up(&self, envelope: &Envelope, fault: &Fault) {
        let (id, source, reason) = (&envelope.event_id, &envelope.source, fault.reason);
        let labels = [
            self.pipeline.as_str(),
            fault.class.as_str(),
            reason.as_str(),
        ];
        self.metrics.dead.with_label_values(&labels).inc();
        if reason == Reason::ConflictingBody {
            let conflicts = &self.metrics.conflicts;
            conflicts.with_label_values(&[source.as_str()]).inc();
            self.metrics.dedupe.conflict.inc();
        }
        warn!(
            event.id = %id, source.name = %source, pipeline = %self.pipeline,
            attempt = envelope.attempt.number(), reason = %reason, trace.id = trace_of(envelope), "{id} of {source} is a dead letter: {fault}"
        );
    }
}

/// The trace of the sender's request, where it said so.
fn trace_of(envelope: &Envelope) -> Option<&str> {
    envelope.traceparent.as_ref().map(TraceParent::trace_id)
}
