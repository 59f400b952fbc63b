//! Walks through letters a page at a time, however many there are.

use anyhow::Context;
use ledger::{Books, Letter, LetterCursor, LetterFilter};

/// Letters asked for at once.
const PAGE: u32 = 500;

/// The letters that fit, newest first.
pub(super) struct Pages<'a, B> {
    ledger: &'a B,
    filter: LetterFilter,
    after: Option<LetterCursor>,
    left: u64,
    ended: bool,
}

impl<'a, B: Books> Pages<'a, B> {
    /// At most `limit` of them.
    pub(super) fn new(ledger: &'a B, filter: LetterFilter, limit: Option<u64>) -> Self {
        Self {
            ledger,
            filter,
            after: None,
            left: limit.unwrap_or(u64::MAX),
            ended: false,
        }
    }

    /// The next page; nothing after the last.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Letter>>> {
        let asked = u32::try_from(self.left).unwrap_or(PAGE).min(PAGE);
        if self.ended || asked == 0 {
            return Ok(None);
        }
        let page = self
            .ledger
            .letters(&self.filter, self.after.as_ref(), asked);
        let page = page.await.context("cannot list the letters")?;
        self.ended = page.len() < asked as usize;
        self.left -= page.len() as u64;
        self.after = page.last().map(Letter::cursor);
        Ok((!page.is_empty()).then_some(page))
    }
}
