//! How an obligation stands in the ledger. Pure.

use super::obligation::Obligation;
use ledger::{Account, LetterState};
use resilience::Reason;

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
        Some(_) if is_letter => Standing::Dead,
        None if is_letter && !is_of_another(own, obligation) => Standing::Dead,
        Some(_) | None => Standing::Missing,
    }
}

/// Whether the letter says that this one had been applied: it came later, under the same id.
fn is_of_another(account: &Account, obligation: &Obligation) -> bool {
    account.letter.as_ref().is_some_and(|letter| {
        letter.reason == Reason::ConflictingBody.as_str() && letter.body_sha256 != obligation.body
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::{BodyHash, Key, UnixMicros};
    use ledger::{AppliedRow, LetterStanding};

    const SENT: &[u8] = b"sent";
    const OTHER: &[u8] = b"other";

    fn obligation() -> Obligation {
        let (pipeline, source) = ("payments".parse().unwrap(), "default".parse().unwrap());
        let event_id = "evt_1".parse().unwrap();
        Obligation {
            key: Key::of(&pipeline, &source, &event_id),
            received_at: UnixMicros(0),
            body: BodyHash::of(SENT),
            replayed_key: None,
            pipeline,
            source,
            event_id,
        }
    }

    fn row(body: &[u8], stored: &[u8]) -> Option<AppliedRow> {
        Some(AppliedRow {
            body_sha256: BodyHash::of(body),
            payload_sha256: BodyHash::of(stored),
            received_at: UnixMicros(0),
            processed_at: UnixMicros(0),
        })
    }

    fn letter(state: LetterState, reason: Reason, body: &[u8]) -> Option<LetterStanding> {
        Some(LetterStanding {
            state,
            replays: 0,
            reason: reason.as_str().to_owned(),
            body_sha256: BodyHash::of(body),
        })
    }

    fn check(applied: Option<AppliedRow>, letter: Option<LetterStanding>, expected: Standing) {
        let account = Account { applied, letter };
        let judged = judge(&obligation(), &account, None);
        assert_eq!(judged, expected, "{account:?}");
    }

    #[test]
    fn a_row_or_a_letter_says_where_an_event_is() {
        use LetterState::{Dead, Discarded, Replayed, Superseded};
        check(None, None, Standing::Missing);
        check(row(SENT, SENT), None, Standing::Applied);
        check(row(SENT, OTHER), None, Standing::Altered);
        check(row(OTHER, OTHER), None, Standing::Missing);
        let letter_of = |state| letter(state, Reason::NotJson, SENT);
        check(None, letter_of(Dead), Standing::Dead);
        check(None, letter_of(Discarded), Standing::Dead);
        check(None, letter_of(Replayed), Standing::Missing);
        check(None, letter_of(Superseded), Standing::Missing);
    }

    #[test]
    fn of_two_bodies_under_one_id_each_has_its_own_place() {
        let second = |body| letter(LetterState::Dead, Reason::ConflictingBody, body);
        check(row(OTHER, OTHER), second(SENT), Standing::Dead);
        check(row(SENT, SENT), second(OTHER), Standing::Applied);
        // The letter of the second says nothing of the first, whose row somebody has deleted.
        check(None, second(OTHER), Standing::Missing);
    }

    #[test]
    fn copies_of_a_captured_request_share_a_letter() {
        let replayed = Account {
            applied: None,
            letter: letter(LetterState::Dead, Reason::ReplayedSignature, SENT),
        };
        let judged = judge(&obligation(), &Account::default(), Some(&replayed));
        assert_eq!(judged, Standing::Dead);
    }
}
