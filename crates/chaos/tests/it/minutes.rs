//! Two minutes of chaos: one by a plan that is the same each time, one by a plan that never is.
//!
//! `cargo xtask chaos` runs for longer; a failure prints the seed that repeats its plan there.

use chaos::plan::{Pace, Plan};
use chaos::run::{Nodes, Order, run};
use std::time::Duration;

/// Well under what a debug build on two busy cores applies.
const RATE: u32 = 100;

async fn a_minute(seed: u64) {
    println!("repeat with: cargo xtask chaos --minutes 1 --seed {seed} --rate {RATE}");
    let order = Order {
        seed,
        rate: RATE,
        nodes: Nodes::One,
        rounds: Box::new(Plan::new(seed, Pace::Brisk, &[])),
        until: Duration::from_secs(60),
        at_least: 8,
    };
    let verdict = run(order).await.expect("it runs");
    println!("{verdict}");
    assert!(verdict.is_clean(), "{verdict}");
    assert!(verdict.faults() >= 8, "too little was broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_faults_loses_and_doubles_nothing() {
    a_minute(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_other_faults_each_time_loses_and_doubles_nothing() {
    a_minute(fastrand::u64(..1_000_000)).await;
}
