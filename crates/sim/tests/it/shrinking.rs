//! A failure is read by a person: it is as short as it can be, and says how to have it again.

use failpoints::{Mutant, with_mutant};
use sim::{Schedule, Violation, run, shrink};

fn broken_by(schedule: &Schedule) -> Option<Violation> {
    run(schedule, false).violation
}

#[test]
fn the_shortest_schedule_breaks_the_same_invariant_and_no_step_of_it_can_be_left_out() {
    with_mutant(Some(Mutant::AckBeforeCommit), || {
        let mut schedules = (0..).map(Schedule::of);
        let found = schedules.find_map(|schedule| Some((broken_by(&schedule)?, schedule)));
        let (violation, schedule) = found.expect("there are more seeds than anybody can try");
        let shortest = shrink(&schedule, &violation);
        assert!(shortest.steps.len() < schedule.steps.len(), "{shortest}");
        let is_same = |broken: Violation| broken.invariant == violation.invariant;
        assert!(broken_by(&shortest).is_some_and(is_same), "{shortest}");
        for at in 0..shortest.steps.len() {
            let mut shorter = shortest.clone();
            shorter.steps.remove(at);
            let is_broken = broken_by(&shorter).is_some_and(is_same);
            assert!(!is_broken, "step {at} is not needed:\n{shortest}");
        }
        let told = shortest.to_string();
        assert!(
            told.starts_with(&format!("seed {}, ", schedule.seed)),
            "{told}"
        );
    });
}
