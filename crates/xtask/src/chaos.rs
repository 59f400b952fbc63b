//! `cargo xtask chaos` and `cargo xtask soak`: build everything, and leave the rest to the program `chaos`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::report::Ending;
use crate::steps::{build, finish};

/// What is handed on to `chaos run` or `chaos soak` as it is, `--help` included.
#[derive(Debug, Args)]
pub struct Arguments {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<OsString>,
}

/// Runs `chaos` with this subcommand. It breaks programs, so they are built with the fail points in.
pub fn run(subcommand: &str, given: &Arguments) -> Result<Ending> {
    build()?;
    let here = std::env::current_exe().context("no path of xtask")?;
    let mut command = Command::new(here.with_file_name("chaos"));
    command.arg(subcommand).args(&given.arguments);
    finish(command)
}
