//! The built-in handlers.

pub mod payments;
