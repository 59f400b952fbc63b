//! What happened, for operators: the log line and the metric of one event live in one function.

use crate::refused::{OUTCOMES, QUEUED, Refused, SPOOLED};
use crate::store::Stored;
use broker::embedded::Standing;
use broker::{Confirmed, PublishError};
use envelope::{EventId, SourceName, UnixMicros};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use signing::Verified;
use std::time::Duration;
use tracing::{debug, info, warn};

/// The bounds of latency, with the promise (under one second) and the answer deadline on an edge.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5,
];
/// The bounds of clock skew, with the tolerance of 300 s on an edge.
const SKEW_SECONDS: &[f64] = &[-300.0, -60.0, -10.0, -2.0, 0.0, 2.0, 10.0, 60.0, 300.0];
/// The label of a request whose source is not configured: what senders make up is no label.
const UNKNOWN: &str = "unknown";

/// The metrics of the door.
#[derive(Clone, Debug)]
pub struct Events {
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    skew_seconds: HistogramVec,
    confirms: IntCounterVec,
    confirm_seconds: Histogram,
    spool_events: IntGauge,
    spool_bytes: IntGauge,
}

impl Events {
    /// Registers the metrics, all of them at zero from the start.
    ///
    /// # Errors
    /// Where a metric of the same name is registered already.
    pub fn register<'a>(
        registry: &Registry,
        sources: impl Iterator<Item = &'a SourceName>,
    ) -> prometheus::Result<Self> {
        let histogram =
            |name, help, buckets: &[f64]| HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let events = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "ingest_requests_total",
                    "Requests answered, by source and outcome.",
                ),
                &["source", "outcome"],
            )?,
            request_seconds: HistogramVec::new(
                histogram(
                    "ingest_request_seconds",
                    "From a request's head to its answer.",
                    SECONDS,
                ),
                &["source"],
            )?,
            skew_seconds: HistogramVec::new(
                histogram(
                    "ingest_clock_skew_seconds",
                    "Our clock minus the signed timestamp; a median away from zero is a wrong clock.",
                    SKEW_SECONDS,
                ),
                &["source"],
            )?,
            confirms: IntCounterVec::new(
                Opts::new(
                    "publish_confirms_total",
                    "Verdicts of the broker on published events.",
                ),
                &["verdict"],
            )?,
            confirm_seconds: Histogram::with_opts(histogram(
                "publish_confirm_seconds",
                "From publishing an event to the broker's verdict.",
                SECONDS,
            ))?,
            spool_events: IntGauge::new(
                "spool_events",
                "Events in the spool: answered 202 and not yet on the broker.",
            )?,
            spool_bytes: IntGauge::new(
                "spool_bytes",
                "Bytes in use of the spool's file; at [spool] max_bytes the answer is 503.",
            )?,
        };
        registry.register(Box::new(events.requests.clone()))?;
        registry.register(Box::new(events.request_seconds.clone()))?;
        registry.register(Box::new(events.skew_seconds.clone()))?;
        registry.register(Box::new(events.confirms.clone()))?;
        registry.register(Box::new(events.confirm_seconds.clone()))?;
        registry.register(Box::new(events.spool_events.clone()))?;
        registry.register(Box::new(events.spool_bytes.clone()))?;
        events.start_at_zero(sources);
        Ok(events)
    }

    fn start_at_zero<'a>(&self, sources: impl Iterator<Item = &'a SourceName>) {
        for source in sources.map(SourceName::as_str).chain([UNKNOWN]) {
            OUTCOMES
                .iter()
                .for_each(|outcome| self.requests.with_label_values(&[source, outcome]).reset());
            let _ = self.request_seconds.with_label_values(&[source]);
            let _ = self.skew_seconds.with_label_values(&[source]);
        }
        for verdict in [
            "confirmed",
            "away",
            "blocked",
            "refused",
            "unroutable",
            "no_verdict",
            "overloaded",
        ] {
            self.confirms.with_label_values(&[verdict]).reset();
        }
    }

    /// A request has its answer. A burst of `forbidden` is a rotated secret or somebody trying keys; see
    /// the log line for who.
    pub(crate) fn answered(
        &self,
        source: Option<&SourceName>,
        request_id: &str,
        taken: &Result<(EventId, Stored), Refused>,
        took: Duration,
    ) {
        let name = source.map_or(UNKNOWN, SourceName::as_str);
        let outcome = match taken {
            Ok((event_id, stored)) => {
                let outcome = match stored {
                    Stored::Queued(_) => QUEUED,
                    Stored::Spooled(_) => SPOOLED,
                };
                debug!(source.name = name, event.id = %event_id, request.id = request_id, "{outcome} an event of {name}");
                outcome
            }
            Err(why) => {
                let (outcome, status) = (why.outcome(), why.status().as_u16());
                info!(
                    source.name = name,
                    request.id = request_id,
                    outcome,
                    status,
                    "refused a request from {name}: {}",
                    why.detail()
                );
                outcome
            }
        };
        self.requests.with_label_values(&[name, outcome]).inc();
        self.request_seconds
            .with_label_values(&[name])
            .observe(took.as_secs_f64());
    }

    /// A signature was right. Where it covers a timestamp, the skew's median says whether a clock is wrong, and whose it may be.
    pub(crate) fn verified(
        &self,
        source: &SourceName,
        verified: &Verified,
        received_at: UnixMicros,
    ) {
        let Some(signed_at) = verified.signed_at() else {
            return;
        };
        let skew = received_at.seconds().0.saturating_sub(signed_at.0);
        self.skew_seconds
            .with_label_values(&[source.as_str()])
            .observe(skew as f64);
    }

    /// The broker has given its verdict, or has not in time. `unroutable` means that its topology was
    /// changed by hand.
    pub(crate) fn published(&self, verdict: &Result<Confirmed, PublishError>, took: Duration) {
        let word = match verdict {
            Ok(_) => "confirmed",
            Err(PublishError::Away) => "away",
            Err(PublishError::Blocked) => "blocked",
            Err(PublishError::Refused) => "refused",
            Err(PublishError::Unroutable) => "unroutable",
            Err(PublishError::NoVerdict) => "no_verdict",
            Err(PublishError::Overloaded) => "overloaded",
        };
        self.confirms.with_label_values(&[word]).inc();
        self.confirm_seconds.observe(took.as_secs_f64());
    }

    /// How much waits in the spool. It grows while the broker is away, and shrinks when it is back; a number
    /// that stands still while the broker is up is worth a look at the log.
    pub(crate) fn spool_stands(&self, standing: Standing) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        match (self.spool_events.get(), standing.events) {
            (0, 1..) => warn!(
                "the spool fills: {} events wait for the broker",
                standing.events
            ),
            (1.., 0) => info!("the spool is empty"),
            _ => {}
        }
        self.spool_events.set(number(standing.events));
        self.spool_bytes.set(number(standing.bytes));
    }

    /// A request met a defect of ours and was answered with 500. Please report it.
    pub(crate) fn panicked(&self) {
        warn!("a request met a defect; it was answered with 500");
        self.requests
            .with_label_values(&[UNKNOWN, Refused::Defect.outcome()])
            .inc();
    }
}
