//! `chaos`: breaks Spillway on purpose, with real processes, and says whether anything was lost or doubled.

use anyhow::{Result, ensure};
use chaos::faults::Fault;
use chaos::plan::{Pace, Plan, Round};
use chaos::run::{Nodes, Order, run};
use chaos::soak::Soak;
use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;
use std::time::Duration;

/// Breaks Spillway on purpose and says whether an event was lost or applied twice.
///
/// Starts a private RabbitMQ, Redis and Postgres, two ingests (one with a spool), three workers and an
/// archiver, and sends signed payments at a steady rate: some twice, some that cannot be read. Everything
/// dies with this program. The exit code is 1 if anything was lost, doubled or applied without having been
/// sent, if a program did not recover by itself, or if memory or descriptors did not come back.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Random faults, one or two at a time, under load
    ///
    /// The seed decides which faults come, in which order and how long each lasts: `--seed` repeats a plan.
    Run(RunArguments),
    /// One long outage, or an hour of load
    Soak(SoakArguments),
    /// Lists the faults by the names that `run --fault` takes
    Faults,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// How long new faults are begun; the last one is waited for
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The plan; a random one is made and printed where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// Only faults whose name contains this; may be given several times
    #[arg(long, value_name = "WORD")]
    fault: Vec<String>,
    /// Events a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
}

#[derive(Debug, Args)]
struct SoakArguments {
    /// What happens
    #[arg(long)]
    fault: Soak,
    /// How long it lasts; with `leader-kill`, each time
    #[arg(long)]
    minutes: Option<u64>,
    /// Events a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(arguments) => chaos(arguments).await,
        Command::Soak(arguments) => soak(arguments).await,
        Command::Faults => {
            Fault::all()
                .iter()
                .for_each(|fault| println!("{}", fault.name()));
            Ok(true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn chaos(arguments: RunArguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let pace = if arguments.minutes <= 3 {
        Pace::Brisk
    } else {
        Pace::Full
    };
    let plan = Plan::new(seed, pace, &arguments.fault);
    ensure!(
        !plan.is_empty(),
        "no fault has such a name; `chaos faults` lists them"
    );
    let long = arguments.minutes >= LONG && arguments.fault.is_empty();
    let order = Order {
        seed,
        rate: arguments.rate,
        nodes: Nodes::One,
        rounds: Box::new(long.then(Round::volley).into_iter().chain(plan)),
        until: minutes(arguments.minutes),
        at_least: 0,
    };
    let clean = carry_out(order).await?;
    if !long {
        return Ok(clean);
    }
    let last = Soak::LeaderKill.order(LEADERLESS, arguments.rate);
    Ok(carry_out(last).await? && clean)
}

/// How long a killed leader stays away there.
const LEADERLESS: Duration = Duration::from_secs(20);

/// From this many minutes on a run begins with a volley of kills and ends with the loss of a leader, on a broker of three nodes.
const LONG: u64 = 10;

async fn soak(arguments: SoakArguments) -> Result<bool> {
    let lasting = minutes(arguments.minutes.unwrap_or(arguments.fault.minutes()));
    carry_out(arguments.fault.order(lasting, arguments.rate)).await
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

async fn carry_out(order: Order) -> Result<bool> {
    println!("seed {}, {} events a second", order.seed, order.rate);
    let verdict = run(order).await?;
    println!("{verdict}");
    Ok(verdict.is_clean())
}
