//! Schedules: that they hold, that they are nothing but their seed, and those that once failed.

use sim::{Schedule, run};

/// Runs these seeds and says which broke what.
fn hold(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let violation = run(&Schedule::of(seed), false).violation;
        assert_eq!(
            violation, None,
            "seed {seed}: cargo xtask sim --from {seed} --seeds 1"
        );
    }
}

#[test]
fn three_hundred_schedules_break_no_invariant() {
    hold(0..300);
}

#[test]
fn the_same_seed_leads_to_the_same_end() {
    for seed in 0..40 {
        let schedule = Schedule::of(seed);
        let (once, again) = (run(&schedule, true), run(&schedule, true));
        assert_eq!(once.trace, again.trace, "seed {seed}");
        assert_eq!(once.fingerprint, again.fingerprint, "seed {seed}");
    }
}
