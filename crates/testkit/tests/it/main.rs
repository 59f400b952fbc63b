//! The promises of the test kit itself.

mod leash;
mod program;
mod proxy;
mod restart;
mod shared;
