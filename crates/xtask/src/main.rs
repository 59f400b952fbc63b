//! The project's chores: `cargo xtask test` is what must pass before anything lands.

mod bench;
mod chaos;
mod dependencies;
mod install;
mod kubernetes;
mod manifests;
mod report;
mod servers;
mod sim;
mod steps;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::sim::Seeds;
use crate::steps::Plan;

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Check everything: servers, format, dependencies, clippy, build, peers, tests, docs, manifests
    ///
    /// Starts a private RabbitMQ, Redis and Postgres on free loopback ports for the run and ends
    /// them afterwards; installs them first where they are missing (Debian or Ubuntu, as root).
    /// Servers that already run are used instead where SPILLWAY_TEST_AMQP_URL and
    /// SPILLWAY_TEST_AMQP_ADMIN_URL, SPILLWAY_TEST_POSTGRES_URL or SPILLWAY_TEST_REDIS_URL name
    /// them. Stops at the first step that fails.
    Test(Plan),
    /// Break the system at random, under load, and count what was lost or doubled (`--help` for more)
    ///
    /// For example `cargo xtask chaos --minutes 10 --seed 42`. A run prints its seed, and each fault as it
    /// happens; the same seed makes the same plan again.
    #[command(disable_help_flag = true)]
    Chaos(chaos::Arguments),
    /// One long outage, or an hour of load (`--help` for more)
    ///
    /// For example `cargo xtask soak --fault db-down`.
    #[command(disable_help_flag = true)]
    Soak(chaos::Arguments),
    /// Measure what it reaches, beside the limits of its parts, into loadtest/RESULTS.md (`--help` for more)
    ///
    /// For example `cargo xtask bench --quick`, or `cargo xtask bench --only end-to-end spike`.
    #[command(disable_help_flag = true)]
    Bench(bench::Arguments),
    /// Run the simulation: seeded schedules of what goes wrong, over the real worker and publisher
    ///
    /// Every invariant is checked at every step. The first schedule that breaks one ends the run: its
    /// seed is printed, the shortest part of it that still breaks the invariant, and what happened.
    Sim(Seeds),
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Test(plan) => steps::run(&plan),
        Chore::Chaos(arguments) => chaos::run("run", &arguments).map(drop),
        Chore::Soak(arguments) => chaos::run("soak", &arguments).map(drop),
        Chore::Bench(arguments) => bench::run(&arguments).map(drop),
        Chore::Sim(seeds) => sim::run(&seeds),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
