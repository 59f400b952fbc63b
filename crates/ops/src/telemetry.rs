//! Logs and the metrics registry.

use crate::config::LogFormat;
use broker::Vitals;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::fmt;

/// Starts logging to standard error. `RUST_LOG` overrides the level.
///
/// A second start in one process (tests) keeps the first.
pub fn start_logging(format: LogFormat) {
    // The client library logs each step of a lost connection; what matters of it we log ourselves.
    let default = || EnvFilter::new("info,lapin=off,refinery_core=warn");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| default());
    let logs = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for people: a file or a collector gets plain text.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let started = match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    // The error is "already started", which is what we want.
    drop(started);
}

/// A registry whose metrics start with `spillway_`, with `spillway_build_info` in it.
///
/// # Errors
/// Never in practice: the registry is empty.
pub fn registry(program: &str) -> prometheus::Result<Registry> {
    let registry = Registry::new_custom(Some("spillway".to_owned()), None)?;
    let build = Opts::new("build_info", "The version that runs; always 1.")
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("program", program);
    let build = IntGauge::with_opts(build)?;
    build.set(1);
    registry.register(Box::new(build))?;
    Ok(registry)
}

/// CPU, memory and descriptors of this process, under the names that every exporter gives them: without our
/// prefix. Empty on systems without `/proc`.
pub(crate) fn process() -> Registry {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        let registered = registry.register(Box::new(process));
        registered.expect("the registry is empty");
    }
    registry
}

/// Puts the state of the connections with the broker on the page.
///
/// # Errors
/// Where it is there already.
pub fn show_broker(registry: &Registry, vitals: Vitals) -> prometheus::Result<()> {
    let blocked = Opts::new(
        "broker_blocked",
        "Connections of a kind from which the broker reads nothing, because of an alarm.",
    );
    registry.register(Box::new(BrokerPage {
        vitals,
        blocked: IntGaugeVec::new(blocked, &["connection"])?,
        epochs: IntCounter::new(
            "broker_epochs_total",
            "Sessions with the broker begun since the start; a rate is a broker that is lost again and again.",
        )?,
        turn: Mutex::default(),
    }))
}

/// Asked when the page is read.
struct BrokerPage {
    vitals: Vitals,
    blocked: IntGaugeVec,
    epochs: IntCounter,
    /// Two readers at once would count the same sessions twice.
    turn: Mutex<()>,
}

impl Collector for BrokerPage {
    fn desc(&self) -> Vec<&Desc> {
        [self.blocked.desc(), self.epochs.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for (connection, count) in self.vitals.blocked_connections() {
            let gauge = self.blocked.with_label_values(&[connection]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let new = self.vitals.epochs_total() - self.epochs.get();
        self.epochs.inc_by(new);
        [self.blocked.collect(), self.epochs.collect()].concat()
    }
}
