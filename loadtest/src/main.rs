//! `spillway-loadtest`.

use clap::Parser;
use loadtest::{Arguments, test};
use std::process::ExitCode;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wants_json = arguments.wants_json();
    match run(arguments, wants_json).await {
        Ok(passed) if passed => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => ops::exit(Err(error)),
    }
}

/// Whether every threshold was kept.
async fn run(arguments: Arguments, wants_json: bool) -> anyhow::Result<bool> {
    let outcome = test(arguments, ops::stop_signal()?).await?;
    if wants_json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{outcome}");
    }
    Ok(outcome.passed)
}
