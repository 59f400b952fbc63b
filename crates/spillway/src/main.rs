//! `spillway`: the operator's command.
//!
//! `serve` runs everything in one process on embedded defaults; `send` signs an event, sends it and says
//! what became of it.

mod archive;
mod data_dir;
mod send;
mod serve;
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
    /// Looks into the spool of an ingest, and empties that of one that is gone.
    Spool(spool::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let _armed = failpoints::arm();
    ops::exit(match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Send(arguments) => send::run(arguments).await,
        Command::Spool(arguments) => spool::run(arguments).await,
    })
}
