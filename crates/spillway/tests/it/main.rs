//! End to end: our programs as their users run them, against real servers and against none.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod alarms;
mod books;
mod door;
mod endings;
mod kills;
mod outages;
mod sender;
mod serve;
mod system;
mod walk;
