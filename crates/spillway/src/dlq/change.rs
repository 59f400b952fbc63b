//! What commands that change letters have in common: which, how many, and is it meant?

use super::confirm::{confirm, who};
use super::select::Selection;
use clap::Args;
use ledger::{Books, LetterFilter, LetterState};
use serde_json::json;

/// Which letters to change, and who wants it.
#[derive(Clone, Debug, Args)]
pub(super) struct Change {
    #[command(flatten)]
    selection: Selection,
    /// Letters at most, newest first.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Says how many there are, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
    /// Prints one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    /// Whose name goes into the letters' history; that of this account, where it is not given.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// A change that is meant.
pub(super) struct Meant {
    pub(super) filter: LetterFilter,
    /// How many letters.
    pub(super) total: u64,
    pub(super) who: String,
}

impl Change {
    /// Says how many letters it is about, and asks; nothing where it is not meant. `verb` as in "replay".
    pub(super) async fn ask<B: Books>(
        &self,
        ledger: &B,
        verb: &str,
    ) -> anyhow::Result<Option<Meant>> {
        let filter = self.selection.filter(Some(LetterState::Dead));
        let total = ledger.count_letters(&filter).await?;
        let total = total.min(self.limit.unwrap_or(u64::MAX));
        if self.dry_run || total == 0 {
            if self.json {
                println!("{}", json!({ "letters": total, "changed": false }));
            } else {
                println!("{total} letters to {verb}");
            }
            return Ok(None);
        }
        let question = format!("{total} letters to {verb}. Go on?");
        let who = who(self.by.as_deref());
        let meant = Meant { filter, total, who };
        Ok(confirm(&question, self.yes)?.then_some(meant))
    }
}
