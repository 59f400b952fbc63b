//! `spillway simulate`: an arrival curve through the scaling policy and Kubernetes' autoscaler, so that an operator
//! tunes them before production. Touches nothing.

mod hpa;
mod model;
mod profile;
mod report;

use anyhow::ensure;
use clap::Args;
use hpa::{Behavior, Rules};
use model::{Plan, Run};
use ops::config;
use profile::Profile;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `spillway simulate`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What arrives: a CSV of `second,rate`, where a rate holds until the next line.
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Events a second that one worker applies.
    #[arg(long, value_name = "EVENTS", default_value_t = 2_000.0)]
    per_worker_rate: f64,
    /// From the order of a worker to its first event: image, start, connections.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    start_time: Duration,
    /// The configuration file (TOML), for its `scaling`.
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The most workers; overrides `scaling.max`.
    #[arg(long, value_name = "WORKERS")]
    max: Option<u32>,
    /// Draws the run into an SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    hpa: HpaArguments,
}

/// Kubernetes' autoscaler, as our overlays set it up.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Kubernetes' autoscaler")]
struct HpaArguments {
    /// Between two of its looks.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    sync_period: Duration,
    /// It ignores a number within this share of the fleet.
    #[arg(long, value_name = "SHARE", default_value_t = K8S.tolerance)]
    tolerance: f64,
    /// scaleUp.stabilizationWindowSeconds
    #[arg(long, value_name = "SECONDS", default_value_t = K8S.up.window)]
    up_window: u64,
    /// scaleUp: by so many per cent in 15 s, or by so many pods, whichever is more.
    #[arg(long, value_name = "PER CENT", default_value_t = K8S.up.percent)]
    up_percent: u32,
    /// The same in pods.
    #[arg(long, value_name = "PODS", default_value_t = K8S.up.pods)]
    up_pods: u32,
    /// scaleDown.stabilizationWindowSeconds
    #[arg(long, value_name = "SECONDS", default_value_t = K8S.down.window)]
    down_window: u64,
    /// scaleDown: by so many per cent in 15 s, or by so many pods, whichever is more.
    #[arg(long, value_name = "PER CENT", default_value_t = K8S.down.percent)]
    down_percent: u32,
    /// The same in pods.
    #[arg(long, value_name = "PODS", default_value_t = K8S.down.pods)]
    down_pods: u32,
}

/// `behavior` of k8s/overlays/keda and hpa, and the defaults of Kubernetes for the rest. The bounds are the
/// policy's.
const K8S: Rules = Rules {
    sync_period: 15,
    tolerance: 0.1,
    up: Behavior {
        window: 0,
        percent: 400,
        pods: 10,
        period: 15,
    },
    down: Behavior {
        window: 0,
        percent: 0,
        pods: 5,
        period: 15,
    },
    min: 1,
    max: 50,
};

/// Prints the run, and draws it where asked to.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let profile = Profile::read(&arguments.profile)?;
    let config = config::load(arguments.config.as_deref())?;
    let mut policy = config.scaling.policy();
    policy.max = arguments.max.unwrap_or(policy.max).max(policy.min);
    let rules = arguments.hpa.rules(policy.min, policy.max)?;
    ensure!(
        arguments.per_worker_rate > 0.0,
        "--per-worker-rate has to be above 0"
    );
    let plan = |hpa| Plan {
        policy,
        per_worker: arguments.per_worker_rate,
        start_time: arguments.start_time.as_secs(),
        hpa,
    };
    let at_once = Run::of(&profile, &plan(None));
    let by_hpa = Run::of(&profile, &plan(Some(rules)));
    report::print(&by_hpa, &at_once);
    if let Some(file) = &arguments.plot {
        report::draw(&policy, &by_hpa, &at_once, file)?;
        println!("\ndrawn in {}", file.display());
    }
    Ok(())
}

impl HpaArguments {
    fn rules(&self, min: u32, max: u32) -> anyhow::Result<Rules> {
        let sync_period = self.sync_period.as_secs();
        ensure!(sync_period > 0, "--sync-period has to be at least 1s");
        let behavior = |window, percent, pods| Behavior {
            window,
            percent,
            pods,
            period: K8S.up.period,
        };
        Ok(Rules {
            sync_period,
            tolerance: self.tolerance,
            up: behavior(self.up_window, self.up_percent, self.up_pods),
            down: behavior(self.down_window, self.down_percent, self.down_pods),
            min,
            max,
        })
    }
}

#[cfg(test)]
fn policy_for_tests() -> resilience::ScalingPolicy {
    config::load(None).unwrap().scaling.policy()
}
