//! How a program ends.

use std::process::ExitCode;

/// Prints what went wrong as one sentence with its causes, where something did, and says so in the exit
/// code.
pub fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
