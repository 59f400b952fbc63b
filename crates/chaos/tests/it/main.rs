//! The short chaos runs that every `cargo xtask test` makes.

mod minutes;
