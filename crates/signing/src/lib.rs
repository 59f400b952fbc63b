//! Signs and verifies: pure, with the time passed in (I10).
//!
//! The only crate that touches secrets. It never does I/O, never says which part of a check failed, and
//! compares in constant time. Start with [`verify`]; what a provider does is in `schemes/`, one file each.

mod body_id;
pub mod explain;
mod key;
mod rules;
pub mod schemes;
mod sign;
mod verify;

pub use key::{Secret, SigningKey, WeakSecret};
pub use rules::{Encoding, TOLERANCE};
pub use schemes::{Scheme, SchemeName};
pub use sign::ToSign;
pub use verify::{Refusal, Verified, Verifier, verify};
