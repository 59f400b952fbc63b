//! `spillway dlq`: the dead letters. Looks at them, sends their events back, puts them away, takes them out.

mod change;
mod confirm;
mod discard;
mod export;
mod list;
mod pages;
mod replay;
mod select;
mod show;

use clap::{Args, Subcommand};

/// Arguments of `spillway dlq`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists letters, newest first.
    List(list::Arguments),
    /// Shows everything about an event's letters: body, headers, history.
    Show(show::Arguments),
    /// Sends events back to their pipelines, with all their tries before them. Interrupted, it can be run
    /// again: what was sent is marked, and what was sent and not yet marked is a duplicate.
    Replay(replay::Arguments),
    /// Marks letters as done with. They are kept as long as any other.
    Discard(discard::Arguments),
    /// Writes letters with body and headers, a JSON object a line.
    Export(export::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::List(list) => list.at.clone().run(list).await,
        Command::Show(show) => show.at.clone().run(show).await,
        Command::Replay(replay) => replay.at.clone().run(replay).await,
        Command::Discard(discard) => discard.at.clone().run(discard).await,
        Command::Export(export) => export.at.clone().run(export).await,
    }
}
