//! `cargo xtask sim`.

use anyhow::Result;
use clap::Args;

use crate::steps::{cargo_command, finish};

/// Which schedules to run.
#[derive(Debug, Args)]
pub struct Seeds {
    /// How many seeds
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Print what happens in each
    #[arg(long)]
    trace: bool,
}

/// Builds the simulation and runs it.
///
/// A debug build: its assertions are on, and it is there after a test run. It makes up in the time it takes
/// to build what it lacks in speed.
pub fn run(seeds: &Seeds) -> Result<()> {
    let mut command = cargo_command(&["run", "--quiet", "--package", "sim"]);
    command.args(["--features", "failpoints/armed", "--"]);
    command.args(["--seeds", &seeds.seeds.to_string()]);
    command.args(["--from", &seeds.from.to_string()]);
    command.args(seeds.trace.then_some("--trace"));
    finish(command).map(drop)
}
