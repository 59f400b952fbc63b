//! The built-in handlers.

#[cfg(debug_assertions)]
mod crash;
pub mod payments;
