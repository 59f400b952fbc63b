//! `spillway dlq export`

use super::confirm::progress;
use super::list;
use super::pages::Pages;
use super::select::Selection;
use crate::moment;
use crate::operator::{At, Desk, Errand};
use anyhow::Context;
use clap::Args;
use ledger::{Books, Entry, FullLetter, Ledger, LetterState};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

/// Arguments of `spillway dlq export`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) at: At,
    #[command(flatten)]
    selection: Selection,
    /// Letters at most.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Where to; standard output, where it is not given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        let filter = self.selection.filter(Some(LetterState::Dead));
        let total = desk.ledger.count_letters(&filter).await?;
        let mut output = BufWriter::new(self.output()?);
        let bar = progress(total.min(self.limit.unwrap_or(u64::MAX)));
        let mut pages = Pages::new(&desk.ledger, filter, self.limit);
        while let Some(page) = pages.next().await? {
            let ids: Vec<_> = page.into_iter().map(|letter| letter.id).collect();
            for letter in desk.ledger.full_letters(&ids).await? {
                writeln!(output, "{}", as_json(&letter))?;
                bar.inc(1);
            }
        }
        output.flush()?;
        bar.finish_and_clear();
        eprintln!("{} letters", bar.position());
        Ok(())
    }
}

impl Arguments {
    fn output(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        let Some(path) = &self.output else {
            return Ok(Box::new(stdout()));
        };
        let file = File::create(path);
        Ok(Box::new(file.with_context(|| {
            format!("cannot write {}", path.display())
        })?))
    }
}

/// A letter with everything in it. The body as text where it is text, and as bytes in hexadecimal digits in
/// any case: what is exported has to be what was signed.
pub(super) fn as_json(full: &FullLetter) -> Value {
    let mut json = list::as_json(&full.letter);
    json["payload"] = std::str::from_utf8(&full.payload).map_or(Value::Null, Value::from);
    json["payload_hex"] = hex::encode(&full.payload).into();
    json["headers"] = serde_json::to_value(&full.headers).unwrap_or(Value::Null);
    json["history"] = full.history.iter().map(happened).collect();
    json
}

fn happened(entry: &Entry) -> Value {
    json!({
        "at": moment::shown(entry.at),
        "who": entry.who,
        "what": entry.what.as_str(),
        "replays": entry.replays,
        "reason": entry.reason,
    })
}
