//! `spillway dlq show`

use super::export;
use super::pages::Pages;
use crate::moment;
use crate::operator::{At, Desk, Errand};
use anyhow::bail;
use clap::Args;
use envelope::EventId;
use ledger::{Books, FullLetter, Ledger, LetterFilter};

/// Letters of one event; more pipelines than that take no event.
const LETTERS_MAX: u64 = 100;

/// Arguments of `spillway dlq show`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) at: At,
    /// The event.
    event_id: EventId,
    /// Prints a JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        let filter = LetterFilter {
            event_id: Some(self.event_id.clone()),
            state: None,
            ..LetterFilter::default()
        };
        let mut pages = Pages::new(&desk.ledger, filter, Some(LETTERS_MAX));
        let mut shown = 0;
        while let Some(page) = pages.next().await? {
            let ids: Vec<_> = page.into_iter().map(|letter| letter.id).collect();
            for letter in desk.ledger.full_letters(&ids).await? {
                shown += 1;
                if self.json {
                    println!("{}", export::as_json(&letter));
                } else {
                    print(&letter);
                }
            }
        }
        match shown {
            0 => bail!("there is no letter of {}", self.event_id),
            _ => Ok(()),
        }
    }
}

fn print(full: &FullLetter) {
    let letter = &full.letter;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let line = |name: &str, value: String| println!("{name:<11} {value}");
    line("pipeline", letter.id.pipeline.to_string());
    line("key", letter.id.key.to_string());
    line(
        "source",
        or_none(letter.source.as_ref().map(ToString::to_string)),
    );
    line(
        "event id",
        or_none(letter.event_id.as_ref().map(ToString::to_string)),
    );
    line("state", letter.state.to_string());
    line("reason", format!("{} ({})", letter.reason, letter.class));
    line("error", letter.error.clone());
    line("tries", letter.attempts.to_string());
    line("replays", letter.replays.to_string());
    line("copies", letter.copies.to_string());
    line("received", moment::shown(letter.first_seen));
    line("died", moment::shown(letter.dead_at));
    for entry in &full.history {
        let by = entry.who.as_deref().map(|who| format!(" by {who}"));
        let why = entry.reason.as_deref().map(|why| format!(": {why}"));
        let (by, why) = (by.unwrap_or_default(), why.unwrap_or_default());
        line(
            "history",
            format!("{}  {}{by}{why}", moment::shown(entry.at), entry.what),
        );
    }
    for (name, value) in &full.headers.headers {
        line(
            "header",
            format!(
                "{name}: {}",
                serde_json::to_string(value).unwrap_or_default()
            ),
        );
    }
    line("body", format!("{} bytes", full.payload.len()));
    println!("{}\n", String::from_utf8_lossy(&full.payload));
}
