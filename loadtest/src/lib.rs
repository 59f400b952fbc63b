//! The load tester: signs, sends by a schedule, and audits the database afterwards.
//!
//! Open model: arrivals are due at fixed times, and latency counts from then. It has its own HTTP, because on the
//! machines it runs on the generator's cost is part of what is measured. It never takes part in anything: what it
//! knows of the system it knows as a sender, and afterwards as an auditor, through the ledger's books.
//!
//! Start with `run.rs`, one lane's life; then `audit.rs`.

mod arguments;
mod profile;
mod schedule;

mod agenda;
mod answers;
mod connection;
mod cpu;
mod door;
mod event;
mod mix;
mod observer;
mod ramp;
mod run;
mod tally;
mod watch;

mod audit;
mod books;
mod outcome;
mod print;
mod report;
mod verdict;

mod test;

pub use arguments::Arguments;
pub use audit::{Findings, Listed};
pub use cpu::cpu_seconds;
pub use outcome::{About, Outcome, Quantiles, Requests, Row};
pub use ramp::Step;
pub use report::figure;
pub use test::test;
pub use verdict::{Measure, Verdict};
