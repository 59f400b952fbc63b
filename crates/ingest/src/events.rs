//! What happened, for operators: the log line and the metric of one event live in one function.

use crate::refused::{OUTCOMES, QUEUED, Refused, SPOOLED};
use crate::store::Stored;
use broker::embedded::Standing;
use broker::{Confirmed, PublishError};
use envelope::{EventId, SourceName, UnixMicros};
use ops::config::{SecretRef, SourceConfig};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use signing::Verified;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};
use x509_cert::der::DateTime;

/// The bounds of latency, with the promise (under one second) and the answer deadline on an edge.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5,
];
/// The bounds of clock skew, with the tolerance of 300 s on an edge.
const SKEW_SECONDS: &[f64] = &[-300.0, -60.0, -10.0, -2.0, 0.0, 2.0, 10.0, 60.0, 300.0];
/// The label of a request whose source is not configured: what senders make up is no label.
const UNKNOWN: &str = "unknown";

/// The metrics of the door. Cheap to clone, and nothing is looked up by its labels while requests come in.
#[derive(Clone, Debug)]
pub struct Events {
    sources: Arc<BTreeMap<SourceName, OfSource>>,
    unknown: OfSource,
    confirms: Confirms,
    confirm_seconds: Histogram,
    spool_events: IntGauge,
    spool_bytes: IntGauge,
    handshakes: Handshakes,
    certificate_expires: IntGauge,
    certificates_kept: IntCounter,
    /// When each secret of a source was last the right one; resolved at the start, since every request sets one.
    secrets: Arc<BTreeMap<SourceName, Vec<IntGauge>>>,
}

/// What is counted for one source.
#[derive(Clone, Debug)]
struct OfSource {
    outcomes: [(&'static str, IntCounter); OUTCOMES.len()],
    request_seconds: Histogram,
    skew_seconds: Histogram,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Done,
    /// No TLS, none that we speak, or hung up.
    Failed,
    TooSlow,
}

/// Handshakes, by how they ended.
#[derive(Clone, Debug)]
struct Handshakes {
    done: IntCounter,
    failed: IntCounter,
    too_slow: IntCounter,
}

/// The broker's verdicts.
#[derive(Clone, Debug)]
struct Confirms {
    confirmed: IntCounter,
    away: IntCounter,
    blocked: IntCounter,
    refused: IntCounter,
    unroutable: IntCounter,
    no_verdict: IntCounter,
    overloaded: IntCounter,
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
        let per_source = PerSource::register(registry)?;
        let confirms = IntCounterVec::new(
            Opts::new(
                "publish_confirms_total",
                "Verdicts of the broker on published events.",
            ),
            &["verdict"],
        )?;
        let handshakes = IntCounterVec::new(
            Opts::new(
                "ingest_tls_handshakes_total",
                "TLS handshakes of senders, by how they ended; none without [ingest.tls].",
            ),
            &["outcome"],
        )?;
        let events = Self {
            sources: Arc::new(
                sources
                    .map(|source| (source.clone(), per_source.of(source.as_str())))
                    .collect(),
            ),
            unknown: per_source.of(UNKNOWN),
            confirms: Confirms::of(&confirms),
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
            handshakes: Handshakes::of(&handshakes),
            certificate_expires: IntGauge::new(
                "ingest_tls_certificate_expiry_timestamp_seconds",
                "When the certificate that senders are shown expires; 0 without [ingest.tls].",
            )?,
            certificates_kept: IntCounter::new(
                "ingest_tls_reload_failures_total",
                "New certificates or keys that could not be used: the old pair stays.",
            )?,
            secrets: Arc::default(),
        };
        registry.register(Box::new(handshakes))?;
        registry.register(Box::new(events.certificate_expires.clone()))?;
        registry.register(Box::new(events.certificates_kept.clone()))?;
        registry.register(Box::new(confirms))?;
        registry.register(Box::new(events.confirm_seconds.clone()))?;
        registry.register(Box::new(events.spool_events.clone()))?;
        registry.register(Box::new(events.spool_bytes.clone()))?;
        Ok(events)
    }

    /// Watches which of these sources' secrets are in use.
    ///
    /// # Errors
    /// Where the metric is registered already.
    pub fn watching(
        mut self,
        registry: &Registry,
        sources: &BTreeMap<SourceName, SourceConfig>,
    ) -> prometheus::Result<Self> {
        let last_verified = IntGaugeVec::new(
            Opts::new(
                "ingest_secret_last_verified_timestamp_seconds",
                "When a request was last verified with this secret, by its reference; 0: not since the start.",
            ),
            &["source", "secret"],
        )?;
        registry.register(Box::new(last_verified.clone()))?;
        let of_source = |(name, source): (&SourceName, &SourceConfig)| {
            let references = source.secrets.iter().map(SecretRef::to_string);
            let gauges = references
                .map(|reference| last_verified.with_label_values(&[name.as_str(), &reference]));
            (name.clone(), gauges.collect())
        };
        self.secrets = Arc::new(sources.iter().map(of_source).collect());
        Ok(self)
    }

    /// A source that is not configured is counted as unknown.
    fn of(&self, source: Option<&SourceName>) -> &OfSource {
        let known = source.and_then(|source| self.sources.get(source));
        known.unwrap_or(&self.unknown)
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
                    why.reason()
                );
                outcome
            }
        };
        let counted = self.of(source);
        counted.answered(outcome);
        counted.request_seconds.observe(took.as_secs_f64());
    }

    /// A signature was right, by which secret is noted: one that has not been in use for as long as senders
    /// send again can go. Where it covers a timestamp, the skew's median says whether a clock is wrong, and whose it may be.
    pub(crate) fn verified(
        &self,
        source: &SourceName,
        verified: &Verified,
        received_at: UnixMicros,
    ) {
        let secrets = self.secrets.get(source);
        if let Some(gauge) = secrets
            .zip(verified.key())
            .and_then(|(all, key)| all.get(key))
        {
            gauge.set(received_at.seconds().0);
        }
        let Some(signed_at) = verified.signed_at() else {
            return;
        };
        let skew = received_at.seconds().0.saturating_sub(signed_at.0);
        self.of(Some(source)).skew_seconds.observe(skew as f64);
    }

    /// The broker has given its verdict, or has not in time. `unroutable` means that its topology was
    /// changed by hand.
    pub(crate) fn published(&self, verdict: &Result<Confirmed, PublishError>, took: Duration) {
        let confirms = &self.confirms;
        let counter = match verdict {
            Ok(_) => &confirms.confirmed,
            Err(PublishError::Away) => &confirms.away,
            Err(PublishError::Blocked) => &confirms.blocked,
            Err(PublishError::Refused) => &confirms.refused,
            Err(PublishError::Unroutable) => &confirms.unroutable,
            Err(PublishError::NoVerdict) => &confirms.no_verdict,
            Err(PublishError::Overloaded) => &confirms.overloaded,
        };
        counter.inc();
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

    /// A connection has shaken hands, or has not. Many that fail are somebody's scanner, or a sender that does
    /// not trust our certificate, speaks only what is older than TLS 1.2, or speaks plain HTTP.
    pub(crate) fn shook_hands(&self, outcome: Handshake) {
        let counter = match outcome {
            Handshake::Done => &self.handshakes.done,
            Handshake::Failed => &self.handshakes.failed,
            Handshake::TooSlow => &self.handshakes.too_slow,
        };
        counter.inc();
    }

    /// A certificate is in use from now on. One that expires soon should have been replaced: look at what issues
    /// it, and at `ingest_tls_reload_failures_total`.
    pub(crate) fn has_certificate(&self, expires: &DateTime) {
        let seconds = expires.unix_duration().as_secs();
        self.certificate_expires
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
        info!("senders are shown a certificate that is valid until {expires}");
    }

    /// A new certificate or key cannot be used. The old pair stays until the files are right; a restart would
    /// fail on them: mend them first.
    pub(crate) fn keeps_certificate(&self, why: &str) {
        self.certificates_kept.inc();
        warn!("goes on with the old certificate: ingest.tls.{why}");
    }

    /// A request met a defect of ours and was answered with 500. Please report it.
    pub(crate) fn panicked(&self) {
        warn!("a request met a defect; it was answered with 500");
        self.unknown.answered(Refused::Defect.outcome());
    }
}

/// What is registered once and counted for each source.
struct PerSource {
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    skew_seconds: HistogramVec,
}

impl PerSource {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let per_source = Self {
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
        };
        registry.register(Box::new(per_source.requests.clone()))?;
        registry.register(Box::new(per_source.request_seconds.clone()))?;
        registry.register(Box::new(per_source.skew_seconds.clone()))?;
        Ok(per_source)
    }

    fn of(&self, source: &str) -> OfSource {
        let counter = |outcome| self.requests.with_label_values(&[source, outcome]);
        OfSource {
            outcomes: OUTCOMES.map(|outcome| (outcome, counter(outcome))),
            request_seconds: self.request_seconds.with_label_values(&[source]),
            skew_seconds: self.skew_seconds.with_label_values(&[source]),
        }
    }
}

impl OfSource {
    /// The usual outcome stands first, so this is one comparison.
    fn answered(&self, outcome: &str) {
        let counter = self.outcomes.iter().find(|(word, _)| *word == outcome);
        counter.into_iter().for_each(|(_, counter)| counter.inc());
    }
}

impl Handshakes {
    fn of(outcomes: &IntCounterVec) -> Self {
        let outcome = |word| outcomes.with_label_values(&[word]);
        Self {
            done: outcome("done"),
            failed: outcome("failed"),
            too_slow: outcome("too_slow"),
        }
    }
}

impl Confirms {
    fn of(verdicts: &IntCounterVec) -> Self {
        let verdict = |word| verdicts.with_label_values(&[word]);
        Self {
            confirmed: verdict("confirmed"),
            away: verdict("away"),
            blocked: verdict("blocked"),
            refused: verdict("refused"),
            unroutable: verdict("unroutable"),
            no_verdict: verdict("no_verdict"),
            overloaded: verdict("overloaded"),
        }
    }
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(buckets.to_vec())
}
