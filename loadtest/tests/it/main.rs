//! The tester against a `serve` that works, and against one whose books somebody has cooked.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod cooked;
mod faces;
mod harness;
mod runs;
