//! Shrinking: the shortest schedule that breaks the same invariant.

use crate::books::Violation;
use crate::schedule::Schedule;
use crate::world::run;

/// Leaves steps out for as long as the same invariant is broken: halves first, then less, then one by one.
pub fn shrink(schedule: &Schedule, violation: &Violation) -> Schedule {
    let mut shortest = schedule.clone();
    let mut chunk = shortest.steps.len().div_ceil(2);
    while chunk > 0 {
        let is_shorter = leave_out(&mut shortest, chunk, violation);
        if !is_shorter || chunk > shortest.steps.len() {
            chunk /= 2;
        }
    }
    shortest
}

/// Tries each chunk of this length. Whether any could be left out.
fn leave_out(shortest: &mut Schedule, chunk: usize, violation: &Violation) -> bool {
    let mut is_shorter = false;
    let mut at = 0;
    while at < shortest.steps.len() {
        let mut shorter = shortest.clone();
        shorter
            .steps
            .drain(at..(at + chunk).min(shorter.steps.len()));
        let broken = run(&shorter, false).violation;
        if broken.is_some_and(|broken| broken.invariant == violation.invariant) {
            *shortest = shorter;
            is_shorter = true;
        } else {
            at += chunk;
        }
    }
    is_shorter
}
