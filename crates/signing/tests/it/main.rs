//! What is let in and what is not, scheme by scheme, and what the vendors' own libraries say to the same.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod explain;
mod peers;
mod request;
mod schemes;
mod vectors;
