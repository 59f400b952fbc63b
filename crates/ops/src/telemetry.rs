//! Logs and the metrics registry.

use crate::config::LogFormat;
use prometheus::{IntGauge, Opts, Registry};
use std::io::IsTerminal;
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
