//! `spillway dlq discard`

use super::change::Change;
use super::confirm::progress;
use super::pages::Pages;
use crate::operator::{At, Desk, Errand};
use clap::Args;
use envelope::UnixMicros;
use ledger::{Books, Ledger, Mark};
use serde_json::json;
use std::time::SystemTime;

/// Arguments of `spillway dlq discard`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) at: At,
    #[command(flatten)]
    change: Change,
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        let Some(meant) = self.change.ask(&desk.ledger, "discard").await? else {
            return Ok(());
        };
        let bar = progress(meant.total);
        let mut pages = Pages::new(&desk.ledger, meant.filter, self.change.limit);
        let mut discarded = 0;
        while let Some(page) = pages.next().await? {
            let letters: Vec<_> = page.into_iter().map(|it| (it.id, it.replays)).collect();
            let now = UnixMicros::from(SystemTime::now());
            discarded += desk
                .ledger
                .mark(&letters, Mark::Discarded, &meant.who, now)
                .await?;
            bar.inc(letters.len() as u64);
        }
        bar.finish_and_clear();
        if self.change.json {
            println!(
                "{}",
                json!({ "letters": meant.total, "changed": true, "discarded": discarded })
            );
        } else {
            println!("{discarded} letters discarded");
        }
        Ok(())
    }
}
