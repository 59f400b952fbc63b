//! How a candidate stands against the rows that are there: found in the open transaction, a verdict only
//! once it has been committed.

use crate::{Applied, Verdict};
use envelope::BodyHash;

/// What a transaction found out about one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its row was inserted.
    Inserted,
    /// Its row was there before, with this body.
    Known(BodyHash),
    /// Its row is not there; another event with the same signed bytes is.
    SignatureKnown,
    /// Neither is there.
    Gone,
}

impl Standing {
    /// What an insert that was skipped found in its way: its own row's body, or its signature's row.
    pub fn of_skipped(own_body: Option<BodyHash>, signature_known: bool) -> Self {
        // The own row first: a duplicate meets its own signature as well.
        match (own_body, signature_known) {
            (Some(body), _) => Self::Known(body),
            (None, true) => Self::SignatureKnown,
            (None, false) => Self::Gone,
        }
    }

    /// The verdict on a candidate with this body. Only to be called after COMMIT has returned: it is where
    /// the proof is made (I2).
    pub fn after_commit(self, body: BodyHash) -> Verdict {
        match self {
            Self::Inserted => Verdict::Applied(Applied::by_commit()),
            Self::Known(known) if known == body => Verdict::Duplicate(Applied::by_commit()),
            Self::Known(_) => Verdict::ConflictingBody,
            Self::SignatureKnown => Verdict::ReplayedSignature,
            Self::Gone => Verdict::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_inserted_row_or_the_same_body_is_a_proof() {
        let (ours, other) = (BodyHash::of(b"{}"), BodyHash::of(b"[]"));
        let verdict = |own, signature| Standing::of_skipped(own, signature).after_commit(ours);
        let proof = Applied::by_commit();
        assert_eq!(
            Standing::Inserted.after_commit(ours),
            Verdict::Applied(proof)
        );
        assert_eq!(verdict(Some(ours), true), Verdict::Duplicate(proof));
        assert_eq!(verdict(Some(ours), false), Verdict::Duplicate(proof));
        assert_eq!(verdict(Some(other), true), Verdict::ConflictingBody);
        assert_eq!(verdict(None, true), Verdict::ReplayedSignature);
        assert_eq!(verdict(None, false), Verdict::Undecided);
    }
}
