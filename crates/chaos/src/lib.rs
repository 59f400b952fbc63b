//! Our programs under fire: starts them around real servers, sends them events, breaks what they stand on,
//! and asks afterwards whether anything was lost or doubled.
//!
//! The end-to-end tests of `spillway` are written with it. Start with `system.rs`.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a harness for tests: what panics here has failed, as it should"
)]

pub mod books;
pub mod sender;
pub mod system;
