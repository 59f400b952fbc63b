//! `cargo xtask bench`: the standard suite, on private servers, into `loadtest/RESULTS.md`.
//!
//! Each row of the suite is a file of `rows/`, and says what it has to reach. What every row needs is in `lab.rs`
//! (servers and programs), `load.rs` (the load tester) and `meter.rs` (processor and memory). It tests nothing: a
//! figure that is not reached is written down like any other.

mod contender;
mod drain;
mod lab;
mod load;
mod machine;
mod meter;
mod results;
mod rows;

use crate::lab::Lab;
use crate::results::Results;
use crate::rows::Name;
use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures what Spillway reaches on this machine, beside the limits of its parts
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub(crate) struct Arguments {
    /// Seconds instead of minutes for each row: whether it runs, not what it reaches
    #[arg(long)]
    quick: bool,
    /// Only these rows
    #[arg(long, value_name = "NAME", value_enum, num_args = 1..)]
    only: Vec<Name>,
    /// Another yardstick for the door: a program that is told AMQP_URL, QUEUE, SECRET and PORT, and answers 2xx at /hook
    #[arg(long, value_name = "PROGRAM")]
    ceiling: Option<PathBuf>,
    /// Where the results go. Rows that are not run now keep what they measured before
    #[arg(long, value_name = "FILE", default_value = "loadtest/RESULTS.md")]
    out: PathBuf,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let names = if arguments.only.is_empty() {
        Name::all()
    } else {
        arguments.only.clone()
    };
    let lab = Lab::start(arguments.quick, arguments.ceiling.clone()).await?;
    let mut results = Results::open(&arguments.out, arguments.quick, &lab).await?;
    for name in names {
        println!("=== {name}");
        let row = name.measure(&lab).await?;
        println!("{row}");
        // Written after each: an hour is long, and the last row may fail.
        results.add(name, row)?;
    }
    println!("written to {}", results.path().display());
    Ok(())
}
