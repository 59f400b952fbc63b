//! What happened, for operators: the log line and the metric of one event live in one function.

use crate::disposition::Disposition;
use envelope::{Envelope, EventId, PipelineName, SourceName, UnixMicros};
use ledger::Claimed;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry};
use resilience::{BreakerState, Class, Fault, Reason};
use tracing::{debug, info, warn};

/// The bounds of an event's age, with the alert's threshold of 30 s and the retry delays on edges.
const AGE_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 300.0,
];
const BATCH_EVENTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
const OUTCOMES: [&str; 6] = [
    "applied",
    "duplicate",
    "retried",
    "parked",
    "dead",
    "released",
];
const DEDUPE: [&str; 7] = [
    "granted",
    "recalled",
    "held_elsewhere",
    "bypassed",
    "duplicate",
    "conflict",
    "replay_alarm",
];
const FAULTS: [Class; 4] = [
    Class::Ours,
    Class::Contention,
    Class::Passing,
    Class::Poison,
];

/// The metrics of one worker.
#[derive(Clone, Debug)]
pub struct Events {
    pipeline: PipelineName,
    endings: IntCounterVec,
    dead: IntCounterVec,
    dedupe: IntCounterVec,
    conflicts: IntCounterVec,
    faults: IntCounterVec,
    breaker: IntGaugeVec,
    age_seconds: Histogram,
    batch_size: Histogram,
}

impl Events {
    /// Registers the metrics, at zero from the start where their labels are known.
    ///
    /// # Errors
    /// Where a metric of the same name is registered already.
    pub fn register(registry: &Registry, pipeline: &PipelineName) -> prometheus::Result<Self> {
        let of_pipeline =
            |name, help| Opts::new(name, help).const_label("pipeline", pipeline.as_str());
        let counters = |opts, labels: &[&str]| IntCounterVec::new(opts, labels);
        let histogram = |name, help, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            Histogram::with_opts(opts.const_label("pipeline", pipeline.as_str()))
        };
        let events = Self {
            pipeline: pipeline.clone(),
            endings: counters(
                of_pipeline("worker_events_total", "Deliveries by their ending."),
                &["outcome"],
            )?,
            dead: counters(
                of_pipeline(
                    "dead_letters_total",
                    "Events given up, by class and reason.",
                ),
                &["class", "reason"],
            )?,
            dedupe: counters(
                Opts::new(
                    "dedupe_total",
                    "What Redis and the ledger said about an event's key.",
                ),
                &["result"],
            )?,
            conflicts: counters(
                Opts::new(
                    "conflicting_bodies_total",
                    "Event ids that came again with another body.",
                ),
                &["source"],
            )?,
            faults: counters(
                Opts::new(
                    "ledger_faults_total",
                    "Transactions that failed, by whose fault it was.",
                ),
                &["class"],
            )?,
            breaker: IntGaugeVec::new(
                Opts::new(
                    "breaker_state",
                    "1 for the state a dependency's breaker is in, else 0.",
                ),
                &["dependency", "state"],
            )?,
            age_seconds: histogram("event_age_seconds", "From receipt to commit.", AGE_SECONDS)?,
            batch_size: histogram("batch_size", "Deliveries in a batch.", BATCH_EVENTS)?,
        };
        for counters in [
            &events.endings,
            &events.dead,
            &events.dedupe,
            &events.conflicts,
            &events.faults,
        ] {
            registry.register(Box::new(counters.clone()))?;
        }
        registry.register(Box::new(events.breaker.clone()))?;
        registry.register(Box::new(events.age_seconds.clone()))?;
        registry.register(Box::new(events.batch_size.clone()))?;
        OUTCOMES
            .iter()
            .for_each(|outcome| events.endings.with_label_values(&[outcome]).reset());
        DEDUPE
            .iter()
            .for_each(|result| events.dedupe.with_label_values(&[result]).reset());
        FAULTS
            .iter()
            .for_each(|class| events.faults.with_label_values(&[class.as_str()]).reset());
        Ok(events)
    }

    pub(crate) fn batch(&self, deliveries: usize) {
        self.batch_size.observe(deliveries as f64);
    }

    /// Signed bytes came again under another event id, and the source's guard is on `alarm`: the event is
    /// applied. Ask the sender whether it was theirs; where it was not, set the guard to `quarantine`.
    pub(crate) fn let_through(&self, id: &EventId, source: &SourceName) {
        self.dedupe.with_label_values(&["replay_alarm"]).inc();
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
        let result = match claimed {
            Claimed::Granted => "granted",
            Claimed::AlreadyApplied => "recalled",
            Claimed::HeldElsewhere => "held_elsewhere",
            Claimed::Unknown => "bypassed",
        };
        self.dedupe.with_label_values(&[result]).inc();
    }

    /// A transaction failed. `ours` means that the database is away or misconfigured: the batch is held
    /// and tried again until it is back.
    pub(crate) fn ledger_fault(&self, fault: &Fault) {
        self.faults.with_label_values(&[fault.class.as_str()]).inc();
        warn!(fault.class = %fault.class, "a batch could not be applied: {fault}");
    }

    /// A fault that no rule of ours names has hit one event after the other: it is taken for the database's.
    /// Look the code up, mend what it names, and tell us: a rule should name it.
    pub(crate) fn everybodys(&self, code: &str) {
        let ours = Class::Ours.as_str();
        self.faults.with_label_values(&[ours]).inc();
        warn!(
            fault.class = ours,
            fault.code = code,
            "{code} hits every event: taken for a fault of the database"
        );
    }

    /// The ledger's breaker has changed. While it is open nothing is consumed: the events wait in their
    /// queue and spend no attempts. Mend the database; consumption resumes by itself.
    pub(crate) fn ledger_breaker(&self, now: BreakerState) {
        self.breaker_state("ledger", now);
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
        self.breaker_state("redis", state);
    }

    fn breaker_state(&self, dependency: &str, now: BreakerState) {
        for state in BreakerState::ALL {
            let gauge = self
                .breaker
                .with_label_values(&[dependency, state.as_str()]);
            gauge.set(i64::from(state == now));
        }
    }

    /// A delivery has met its ending.
    pub(crate) fn settled(&self, envelope: &Envelope, disposition: &Disposition, now: UnixMicros) {
        let (id, source) = (&envelope.event_id, &envelope.source);
        let attempt = envelope.attempt.number();
        let outcome = match disposition {
            Disposition::Ack { fresh: true, .. } => {
                self.age_seconds
                    .observe(now.since(envelope.received_at).as_secs_f64());
                debug!(event.id = %id, source.name = %source, pipeline = %self.pipeline, attempt, "applied {id}");
                "applied"
            }
            Disposition::Ack { fresh: false, .. } => {
                self.dedupe.with_label_values(&["duplicate"]).inc();
                debug!(event.id = %id, source.name = %source, pipeline = %self.pipeline, "{id} was applied before");
                "duplicate"
            }
            Disposition::Retry(delay, fault) => {
                info!(event.id = %id, source.name = %source, pipeline = %self.pipeline, attempt, "{id} failed, again in {delay:?}: {fault}");
                "retried"
            }
            Disposition::Park => "parked",
            Disposition::Release => "released",
            Disposition::DeadLetter(fault) => {
                self.given_up(envelope, fault);
                "dead"
            }
        };
        self.endings.with_label_values(&[outcome]).inc();
    }

    /// An event is given up. It lies in the dead queue, then in `dead_letters`; its reason says what to
    /// mend before it is replayed.
    fn given_up(&self, envelope: &Envelope, fault: &Fault) {
        let (id, source, reason) = (&envelope.event_id, &envelope.source, fault.reason);
        let labels = [fault.class.as_str(), reason.as_str()];
        self.dead.with_label_values(&labels).inc();
        if reason == Reason::ConflictingBody {
            self.conflicts.with_label_values(&[source.as_str()]).inc();
            self.dedupe.with_label_values(&["conflict"]).inc();
        }
        warn!(
            event.id = %id, source.name = %source, pipeline = %self.pipeline,
            attempt = envelope.attempt.number(), reason = %reason, "{id} of {source} is a dead letter: {fault}"
        );
    }
}
