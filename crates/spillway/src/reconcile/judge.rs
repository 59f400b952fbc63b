//! How an obligation stands in the ledger. Pure.

use super::obligation::Obligation;
use ledger::{Account, LetterState};

/// How an obligation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its row is there, with its body.
    Applied,
    /// It has been given up, and kept.
    Dead,
    /// Neither: it is in flight, or lost.
    Missing,
    /// Its row is there, and what is stored is not what was received.
    Altered,
}

/// How an obligation stands, by the account of its own key and that of the letter it may share.
pub(crate) fn judge(
    obligation: &Obligation,
    own: &Account,
    replayed: Option<&Account>,
) -> Standing {
    let is_letter = has_letter(own) || replayed.is_some_and(has_letter);
    match &own.applied {
        Some(row) if row.payload_sha256 != row.body_sha256 => Standing::Altered,
        Some(row) if row.body_sha256 == obligation.body => Standing::Applied,
        // Another body came first under this id. This one is evidence, a letter; or on its way there.
        Some(_) | None if is_letter => Standing::Dead,
        Some(_) | None => Standing::Missing,
    }
}

/// Whether a letter stands for the event now. One that was replayed says that its event is on its way again,
/// and one that was superseded that there is a row: neither is where the event is.
fn has_letter(account: &Account) -> bool {
    account
        .letter
        .as_ref()
        .is_some_and(|letter| match letter.state {
            LetterState::Dead | LetterState::Discarded => true,
            LetterState::Replayed | LetterState::Superseded => false,
        })
}
