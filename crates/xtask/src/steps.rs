//! What `cargo xtask test` does, in order.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::report::{Ending, Report};
use crate::servers::Servers;
use crate::{dependencies, install, kubernetes, manifests, tools};

/// The choices of one run.
#[derive(Debug, Args)]
pub struct Plan {
    /// Run the tests with `cargo test` even where cargo-nextest is installed
    #[arg(long)]
    no_nextest: bool,
}

/// Runs every step until one fails, then prints the table.
pub fn run(plan: &Plan) -> Result<()> {
    let mut report = Report::default();
    let outcome = all(plan, &mut report);
    report.print();
    outcome
}

fn all(plan: &Plan, report: &mut Report) -> Result<()> {
    report.step("servers", install::servers)?;
    report.step("format", || cargo(&["fmt", "--all", "--check"]))?;
    // Seconds, and before what takes minutes.
    report.step("deny", dependencies::check)?;
    report.step("clippy", || cargo(&CLIPPY))?;
    // End-to-end tests run the programs; building a test does not build another crate's binary.
    report.step("build", build)?;
    // Fetched before the tests: none of them has the time for it.
    report.step("peers", peers)?;
    report.step("tests", || tests(plan))?;
    report.step("docs", docs)?;
    report.step("rules", manifests::rules)?;
    report.step("manifests", manifests::check)?;
    report.step("kubernetes", kubernetes::check)
}

/// Builds every program.
pub fn build() -> Result<Ending> {
    cargo(&["build", "--workspace", "--bins", FEATURES, ARMED])
}

/// Every step builds with the fail points in: two sets of features would build everything twice.
const FEATURES: &str = "--features";
/// The fail points, see `crates/failpoints`.
const ARMED: &str = "failpoints/armed";

const CLIPPY: [&str; 8] = [
    "clippy",
    "--workspace",
    "--all-targets",
    FEATURES,
    ARMED,
    "--",
    "-D",
    "warnings",
];

fn tests(plan: &Plan) -> Result<Ending> {
    let servers = Servers::start()?;
    if plan.no_nextest || !has_nextest() {
        let mut plain = servers.name_in(cargo_command(&["test", "--workspace", FEATURES, ARMED]));
        // An end-to-end test is several programs and often a broker: as many at once as there are cores
        // would measure each other. nextest has groups for that (.config/nextest.toml).
        plain.env("RUST_TEST_THREADS", "2");
        return finish(plain);
    }
    let every = &["nextest", "run", "--workspace", FEATURES, ARMED];
    finish(servers.name_in(cargo_command(every)))?;
    // The one thing nextest does not run.
    let every = &["test", "--doc", "--workspace", FEATURES, ARMED];
    finish(servers.name_in(cargo_command(every)))
}

/// The vendors' libraries that `signing` is tested against.
fn peers() -> Result<Ending> {
    let missing: Vec<&str> = [
        (testkit::peers::python().is_none()).then_some(testkit::peers::WITHOUT_PYTHON),
        (testkit::peers::node().is_none()).then_some(testkit::peers::WITHOUT_NODE),
    ]
    .into_iter()
    .flatten()
    .collect();
    if missing.is_empty() {
        return Ok(Ending::Passed);
    }
    tools::without(&anyhow::anyhow!(missing.join("; ")))
}

fn has_nextest() -> bool {
    tools::answers(cargo_command(&["nextest", "--version"]))
}

fn docs() -> Result<Ending> {
    let mut command = cargo_command(&["doc", "--workspace", "--no-deps", FEATURES, ARMED]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    finish(command)
}

fn cargo(arguments: &[&str]) -> Result<Ending> {
    finish(cargo_command(arguments))
}

/// Cargo, with these arguments.
pub fn cargo_command(arguments: &[&str]) -> Command {
    // The cargo that runs us, so that a `+toolchain` holds for every step.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments);
    command
}

/// Runs `command` with our own output, and turns its failure into a sentence.
pub fn finish(mut command: Command) -> Result<Ending> {
    let shown = shown(&command);
    println!("$ {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}`: {status}");
    }
    Ok(Ending::Passed)
}

/// The command as one would type it; the program without its folder.
pub fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default();
    let words = std::iter::once(name).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
