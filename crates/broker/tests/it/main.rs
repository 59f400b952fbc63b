//! The broker against the real thing: one suite for every implementation, and what is particular to each.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says where and stops"
)]

#[macro_use]
mod books;
#[macro_use]
mod conformance;

mod amqp;
mod cut;
mod embedded;
mod harness;
mod holds;
mod simulated;
mod spool;
