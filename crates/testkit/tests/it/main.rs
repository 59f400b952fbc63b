//! The promises of the test kit itself.

mod leash;
mod program;
mod restart;
mod shared;
