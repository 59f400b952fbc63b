//! `spillway config`: what is in effect, whether it is right, and what there is to configure.

use clap::{Args, Subcommand};
use ops::config;
use std::path::PathBuf;

/// Arguments of `spillway config`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the configuration in effect as TOML, each value with where it comes from, passwords masked.
    Print(File),
    /// Says whether the configuration is right, and if not, everything that is wrong with it.
    Check(File),
    /// Prints what there is to configure, as Markdown.
    Reference,
}

#[derive(Debug, Args)]
struct File {
    /// The configuration file (TOML).
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Print(file) => print!("{}", config::effective(file.config.as_deref())?),
        Command::Check(file) => {
            config::load(file.config.as_deref())?;
            println!("the configuration is valid");
        }
        Command::Reference => print!("{}", config::reference()),
    }
    Ok(())
}
