//! `spillway dlq discard`

use super::confirm::{confirm, progress, who};
use super::pages::Pages;
use super::select::Selection;
use crate::operator::{At, Desk, Errand};
use clap::Args;
use envelope::UnixMicros;
use ledger::{Books, Ledger, LetterState, Mark};
use std::time::SystemTime;

/// Arguments of `spillway dlq discard`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) at: At,
    #[command(flatten)]
    selection: Selection,
    /// Letters at most, newest first.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Says how many it would discard, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
    /// Whose name goes into the letters' history; that of this account, where it is not given.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        let filter = self.selection.filter(Some(LetterState::Dead));
        let total = desk.ledger.count_letters(&filter).await?;
        let total = total.min(self.limit.unwrap_or(u64::MAX));
        if self.dry_run || total == 0 {
            println!("{total} letters would be discarded");
            return Ok(());
        }
        if !confirm(&format!("Discard {total} letters?"), self.yes)? {
            return Ok(());
        }
        let (who, bar) = (who(self.by.as_deref()), progress(total));
        let mut pages = Pages::new(&desk.ledger, filter, self.limit);
        let mut discarded = 0;
        while let Some(page) = pages.next().await? {
            let letters: Vec<_> = page.into_iter().map(|it| (it.id, it.replays)).collect();
            let now = UnixMicros::from(SystemTime::now());
            discarded += desk
                .ledger
                .mark(&letters, Mark::Discarded, &who, now)
                .await?;
            bar.inc(letters.len() as u64);
        }
        bar.finish_and_clear();
        println!("{discarded} letters discarded");
        Ok(())
    }
}
