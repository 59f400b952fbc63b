//! `cargo xtask bench`: build everything as it is released, and leave the rest to the program `bench`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::report::Ending;
use crate::steps::{cargo_command, finish};

/// What is handed on to `bench` as it is, `--help` included.
#[derive(Debug, Args)]
pub struct Arguments {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<OsString>,
}

/// Without the fail points: what is measured is what is released.
pub fn run(given: &Arguments) -> Result<Ending> {
    finish(cargo_command(&[
        "build",
        "--release",
        "--workspace",
        "--bins",
    ]))?;
    let here = std::env::current_exe().context("no path of xtask")?;
    let target = here
        .ancestors()
        .nth(2)
        .context("xtask is in no target folder")?;
    let mut command = Command::new(target.join("release").join("bench"));
    command.args(&given.arguments);
    finish(command)
}
