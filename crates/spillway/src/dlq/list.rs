//! `spillway dlq list`

use super::pages::Pages;
use super::select::Selection;
use crate::moment;
use crate::operator::{At, Desk, Errand};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use ledger::{Books, Ledger, Letter, LetterState};
use serde_json::{Value, json};

const COLUMNS: [&str; 8] = [
    "died", "pipeline", "source", "event", "reason", "tries", "replays", "error",
];

/// Arguments of `spillway dlq list`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) at: At,
    #[command(flatten)]
    selection: Selection,
    /// What has become of them: dead, replayed, discarded, superseded, or any.
    #[arg(long, default_value = "dead", value_name = "STATE", value_parser = state)]
    state: State,
    /// Letters at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u64,
    /// Prints a JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A state to choose by, or none.
#[derive(Clone, Copy, Debug)]
struct State(Option<LetterState>);

fn state(word: &str) -> Result<State, String> {
    match word {
        "any" => Ok(State(None)),
        word => word.parse().map(Some).map(State),
    }
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        let filter = self.selection.filter(self.state.0);
        let total = desk.ledger.count_letters(&filter).await?;
        let mut pages = Pages::new(&desk.ledger, filter, Some(self.limit));
        let mut letters = Vec::new();
        while let Some(page) = pages.next().await? {
            if self.json {
                page.iter()
                    .for_each(|letter| println!("{}", as_json(letter)));
            } else {
                letters.extend(page);
            }
        }
        if !self.json {
            print(&letters, total);
        }
        Ok(())
    }
}

fn print(letters: &[Letter], total: u64) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(COLUMNS);
    table.add_rows(letters.iter().map(row));
    if !letters.is_empty() {
        println!("{table}");
    }
    println!("{} of {total} letters", letters.len());
}

fn row(letter: &Letter) -> [String; 8] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        moment::shown(letter.dead_at),
        letter.id.pipeline.to_string(),
        or_none(letter.source.as_ref().map(ToString::to_string)),
        or_none(letter.event_id.as_ref().map(ToString::to_string)),
        letter.reason.clone(),
        letter.attempts.to_string(),
        letter.replays.to_string(),
        letter.error.clone(),
    ]
}

/// What a list says of a letter, for programs.
pub(super) fn as_json(letter: &Letter) -> Value {
    json!({
        "pipeline": letter.id.pipeline,
        "key": letter.id.key.to_string(),
        "source": letter.source,
        "event_id": letter.event_id,
        "state": letter.state.as_str(),
        "reason": letter.reason,
        "class": letter.class,
        "error": letter.error,
        "attempts": letter.attempts,
        "replays": letter.replays,
        "copies": letter.copies,
        "payload_bytes": letter.payload_bytes,
        "first_seen": moment::shown(letter.first_seen),
        "dead_at": moment::shown(letter.dead_at),
    })
}
