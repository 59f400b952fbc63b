//! What a ledger promises, kept by real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod batch;
mod bench;
mod books;
mod conformance;
mod letters;
mod lost_reply;
mod postgres;
mod recall;
mod simulated;
mod sqlite;
