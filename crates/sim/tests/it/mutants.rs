//! Ten mistakes, applied one by one. A harness that does not find them proves nothing.

use failpoints::{Mutant, with_mutant};
use sim::{Schedule, Violation, run};

/// Without a mistake these hold: `seeds.rs`. The hardest to find takes fifty of them.
const SEEDS: u64 = 300;

/// The first seed that finds the mistake, and what it sees.
fn found(mutant: Mutant) -> Option<(u64, Violation)> {
    with_mutant(Some(mutant), || {
        (0..SEEDS).find_map(|seed| Some((seed, run(&Schedule::of(seed), false).violation?)))
    })
}

fn check(mutant: Mutant, invariants: &[&str]) {
    let (seed, violation) = found(mutant).unwrap_or_else(|| panic!("{mutant:?} is not found"));
    println!("{mutant:?}: seed {seed}, {violation}");
    let is_expected = invariants.contains(&violation.invariant);
    assert!(is_expected, "{mutant:?}: seed {seed}, {violation}");
}

macro_rules! mutants {
    ($($test:ident: $mutant:ident, $invariants:expr;)*) => {$(
        #[test]
        fn $test() {
            check(Mutant::$mutant, &$invariants);
        }
    )*};
}

mutants! {
    an_ack_before_the_commit_is_found: AckBeforeCommit, ["I2"];
    trust_in_a_redis_done_is_found: TrustRedisDone, ["I2", "I7"];
    an_ack_on_a_claim_held_elsewhere_is_found: AckHeldElsewhere, ["I2"];
    an_attempt_spent_on_an_outage_is_found: SpendAttemptOnOutage, ["I11"];
    an_erasure_before_the_confirm_is_found: EraseBeforeConfirm, ["I2"];
    a_handler_run_for_each_copy_is_found: FilterByReturning, ["exactly once in effect"];
    an_unknown_commit_given_up_is_found: UnknownCommitIsDead, ["I6"];
    an_ack_over_an_unsettled_one_is_found: AckOverUnsettled, ["I2"];
    an_ack_of_an_old_epoch_is_found: AckOldEpoch, ["I2"];
    a_death_by_delivery_count_is_found: DeadLetterByCount, ["I6"];
}
