//! The project's chores: `cargo xtask test` is what must pass before anything lands.

mod install;
mod manifests;
mod report;
mod servers;
mod steps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Check everything: servers, format, clippy, build, tests, docs, manifests
    ///
    /// Starts a private RabbitMQ, Redis and Postgres on free loopback ports for the run and ends
    /// them afterwards; installs them first where they are missing (Debian or Ubuntu, as root).
    /// Servers that already run are used instead where SPILLWAY_TEST_AMQP_URL and
    /// SPILLWAY_TEST_AMQP_ADMIN_URL, SPILLWAY_TEST_POSTGRES_URL or SPILLWAY_TEST_REDIS_URL name
    /// them. Stops at the first step that fails.
    Test(Plan),
}

fn main() -> ExitCode {
    let Chore::Test(plan) = Cli::parse().chore;
    match steps::run(&plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
