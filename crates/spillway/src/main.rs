//! `spillway`: the operator's command.
//!
//! `serve` runs everything in one process on embedded defaults; `send` signs an event, sends it and says
//! what became of it.

mod archive;
mod configuration;
mod control;
mod data_dir;
mod dlq;
mod doctor;
mod fleet;
mod housekeeping;
mod migrate;
mod moment;
mod operator;
mod reconcile;
mod replay;
mod republish;
mod secret;
mod send;
mod serve;
mod sig;
mod simulate;
mod spool;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Receives webhooks at scale and applies each exactly once in effect.
#[derive(Debug, Parser)]
#[command(name = "spillway", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs ingest, worker and archiver in one process, with no server installed.
    Serve(serve::Arguments),
    /// Signs events, sends them, and waits until they are applied.
    Send(send::Arguments),
    /// Keeps the books of a cluster: archives dead letters, compares what was accepted with what was applied,
    /// forgets what is old, tells of depths.
    Control(control::Arguments),
    /// Runs as many workers on this machine as the queue wants, and stops those it wants no more.
    Fleet(fleet::Arguments),
    /// Replays an arrival curve through the scaling policy and Kubernetes' autoscaler, without touching anything.
    Simulate(simulate::Arguments),
    /// Brings the ledger's schema up to date, and ends.
    Migrate(migrate::Arguments),
    /// Lists, shows, replays, discards and exports dead letters.
    Dlq(dlq::Arguments),
    /// Says whether every event that was accepted is accounted for, by id; exits 1 if one is not.
    Reconcile(reconcile::Arguments),
    /// Applies events of the past again, from the journal: what is missing, and only that.
    Replay(replay::Arguments),
    /// Asks the ledger what an engineer would: are payments processed twice, and why?
    Doctor(doctor::Arguments),
    /// Prints the configuration in effect, checks it, or says what there is to configure.
    Config(configuration::Arguments),
    /// Makes a secret, or says whether those of the configuration can be used.
    Secret(secret::Arguments),
    /// Signs a body, verifies a request, or says why one is refused.
    Sig(sig::Arguments),
    /// Looks into the spool of an ingest, and empties that of one that is gone.
    Spool(spool::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let _armed = failpoints::arm();
    ops::exit(match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Send(arguments) => send::run(arguments).await,
        Command::Control(arguments) => control::run(arguments).await,
        Command::Fleet(arguments) => fleet::run(arguments).await,
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Migrate(arguments) => migrate::run(arguments).await,
        Command::Dlq(arguments) => dlq::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Reconcile(arguments) => reconcile::run(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::Config(arguments) => configuration::run(arguments).await,
        Command::Secret(arguments) => secret::run(arguments).await,
        Command::Sig(arguments) => sig::run(arguments).await,
        Command::Spool(arguments) => spool::run(arguments).await,
    })
}
