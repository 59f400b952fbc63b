//! Places at which a test ends a program, and mistakes it makes our code commit.
//!
//! Without the feature `armed` every function here is empty or answers `false`, and nothing reads the
//! environment. A release is built without it.

/// Mistakes that read well in review and lose or double events. `crates/sim` applies them one by one and
/// says which invariant caught each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Acks what was handed out before it is committed (I2).
    AckBeforeCommit,
    /// Acks what Redis calls done without a look at the row (I2, I4).
    TrustRedisDone,
    /// Acks an event that somebody else holds a claim on (I2, I4).
    AckHeldElsewhere,
    /// Sends an event to its next retry because the database is away (I11).
    SpendAttemptOnOutage,
    /// Acks an event before the broker has confirmed its copy in the retry queue (I7).
    EraseBeforeConfirm,
    /// Lets the handler run for every delivery whose key RETURNING names, copies included.
    FilterByReturning,
    /// Takes a COMMIT without an answer for one that failed, and gives the event up (I2).
    UnknownCommitIsDead,
    /// Acks `multiple` up to the highest settled tag, over one that is not (I2).
    AckOverUnsettled,
    /// Tells a session of an ending that belongs to the one before it.
    AckOldEpoch,
    /// Gives an event up because the broker has delivered it often (I6).
    DeadLetterByCount,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::AckBeforeCommit,
        Self::TrustRedisDone,
        Self::AckHeldElsewhere,
        Self::SpendAttemptOnOutage,
        Self::EraseBeforeConfirm,
        Self::FilterByReturning,
        Self::UnknownCommitIsDead,
        Self::AckOverUnsettled,
        Self::AckOldEpoch,
        Self::DeadLetterByCount,
    ];
}

/// Whether this thread's code is to make this mistake.
#[inline]
#[must_use]
pub fn mutated(mutant: Mutant) -> bool {
    #[cfg(feature = "armed")]
    return armed::mutated(mutant);
    #[cfg(not(feature = "armed"))]
    {
        let _ = mutant;
        false
    }
}

/// Ends the program here as a kill would, no drop run and nobody told, where `FAILPOINTS` says
/// `place=return`. `place=5*off->return` ends it the sixth time it comes by.
#[inline]
pub fn crash(place: &str) {
    #[cfg(feature = "armed")]
    armed::crash(place);
    #[cfg(not(feature = "armed"))]
    let _ = place;
}

/// The fail points of this process, as long as it is held.
#[must_use = "dropped, it disarms them"]
pub struct Armed(
    #[cfg(feature = "armed")]
    #[expect(dead_code, reason = "held for its drop")]
    fail::FailScenario<'static>,
);

/// Reads `FAILPOINTS`. Every program calls it first.
pub fn arm() -> Armed {
    Armed(
        #[cfg(feature = "armed")]
        fail::FailScenario::setup(),
    )
}

#[cfg(feature = "armed")]
pub use armed::with_mutant;

#[cfg(feature = "armed")]
mod armed {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static MUTANT: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Runs `work` with this mistake in our code, on this thread.
    pub fn with_mutant<T>(mutant: Option<Mutant>, work: impl FnOnce() -> T) -> T {
        let before = MUTANT.replace(mutant);
        let done = work();
        MUTANT.set(before);
        done
    }

    pub(super) fn mutated(mutant: Mutant) -> bool {
        MUTANT.get() == Some(mutant)
    }

    pub(super) fn crash(place: &str) {
        if fail::eval(place, |_| ()).is_some() {
            std::process::abort();
        }
    }
}
