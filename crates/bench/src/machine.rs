//! What the figures were measured on.

use crate::lab::Lab;
use anyhow::Result;
use std::fs;
use std::process::Command;
use testkit::PRODUCTION_SETTINGS;

/// Lines for the head of the results.
pub async fn describe(lab: &Lab) -> Result<Vec<String>> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown");
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default();
    let overview = lab.rabbitmq.management().get("overview").await?;
    let text = |name: &str| overview[name].as_str().unwrap_or("?").to_owned();
    Ok(vec![
        format!(
            "{cores} × {}, {} GiB",
            model.trim_start_matches([' ', '\t', ':']),
            memory.div_ceil(1_048_576)
        ),
        format!("Linux {}", output("uname", &["-r"])),
        format!(
            "RabbitMQ {} on Erlang {}, as it is installed but for its ports",
            text("rabbitmq_version"),
            text("erlang_version")
        ),
        format!(
            "{}, `{}`, else as it is installed",
            output("postgres --version", &[]),
            PRODUCTION_SETTINGS.join("`, `")
        ),
        format!(
            "{}, without persistence",
            output("redis-server", &["--version"])
        ),
        output("rustc", &["--version"]),
    ])
}

/// The commit, and whether something was changed since.
pub fn commit() -> String {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
    if output("git", &["status", "--porcelain"]).is_empty() {
        commit
    } else {
        format!("{commit}, and changes")
    }
}

/// The first line of what a command says.
fn output(program: &str, arguments: &[&str]) -> String {
    let said = if program == "postgres --version" {
        // Debian keeps it off the PATH, in a folder per version.
        let all =
            "ls /usr/lib/postgresql/*/bin/postgres $(command -v postgres) 2>/dev/null | tail -1";
        Command::new("sh")
            .args(["-c", &format!("$({all}) --version")])
            .output()
    } else {
        Command::new(program).args(arguments).output()
    };
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    said.unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
