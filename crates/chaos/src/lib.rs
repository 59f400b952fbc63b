//! Our programs under fire: starts them around real servers, sends them events, breaks what they stand on,
//! and asks afterwards whether anything was lost or doubled.
//!
//! The end-to-end tests of `spillway` are written with `system.rs`, `sender.rs` and `books.rs`. The rest is
//! the chaos run: start with `run.rs`, then `faults.rs`.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a harness for tests: what panics here has failed, as it should"
)]

pub mod books;
pub mod sender;
pub mod system;

pub mod account;
pub mod load;

pub mod broker;
pub mod member;
pub mod site;

pub mod faults;
pub mod plan;

pub mod footprint;
pub mod machine;
pub mod operator;
pub mod oracle;
pub mod run;
pub mod soak;
pub mod verdict;
