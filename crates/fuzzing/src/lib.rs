//! What comes from outside, taken apart by whoever wishes us ill: each target is a function of any bytes that
//! asserts what has to hold of all of them, and not only that nothing panics.
//!
//! It never does I/O and reads no clock. The corpus of a target, `fuzz/corpus/TARGET/`, is read with every test
//! run, each file and some thousands of seeded mutations of it; `fuzz/README.md` says how to search for longer.
//! Start with [`TARGETS`].

mod amqp;
mod config;
mod kept;
pub mod mutation;
mod payload;
mod signature;
mod timestamp;
mod wire;

pub use amqp::amqp;
pub use config::config;
pub use payload::payload;
pub use signature::signature;
pub use timestamp::timestamp;
pub use wire::wire;

/// Whether the bytes were taken for what the target reads. A corpus in which none is, or all are, tests little.
pub type Taken = bool;

/// Reads any bytes.
pub type Target = fn(&[u8]) -> Taken;

/// The targets by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("amqp", amqp),
    ("config", config),
    ("payload", payload),
    ("signature", signature),
    ("timestamp", timestamp),
    ("wire", wire),
];
