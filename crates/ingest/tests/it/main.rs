//! The way out of the spool, with the broker's end of the lane in the test's hands.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod drain;
