//! Asks before anything is changed, shows how far it is, and knows who asked.

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{BufRead, IsTerminal, Write};

/// Asks on the terminal; where there is none, only `--yes` will do.
pub(super) fn confirm(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("{question} Nobody is there to answer: say --yes");
    }
    // Not among the output, which may be a program's to read.
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A bar on a terminal, nothing elsewhere.
pub(super) fn progress(total: u64) -> ProgressBar {
    let template = "{bar:40} {human_pos}/{human_len}  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is right");
    ProgressBar::new(total).with_style(style)
}

/// Who is at the keyboard, for the letter's history.
pub(super) fn who(given: Option<&str>) -> String {
    let user = || std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    given.map_or_else(user, str::to_owned)
}
