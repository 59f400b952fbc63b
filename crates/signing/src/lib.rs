//! Signs and verifies: pure, with the time passed in (I10).
//!
//! The only crate that touches secrets. It never does I/O, never says which part of a check failed, and
//! compares in constant time. Start with [`verify`].

mod key;
pub mod schemes;
mod verify;

pub use key::{Secret, SigningKey, WeakSecret};
pub use verify::{Refusal, TOLERANCE, Verified, verify};
