//! The simulation: the real worker, and the door's way to the broker, over a simulated broker, ledger and
//! Redis, under seeded schedules of everything that goes wrong.
//!
//! One thread, a paused clock, and all chances drawn from the seed: the same seed leads to the same end. The
//! numbered invariants are checked at every step ([`books`]); a schedule that breaks one is shortened and
//! printed. Start with `schedule.rs`: what can happen. Then `world.rs`: how.
//!
//! It never opens a socket or a file, and no program of ours links it.

pub mod books;
pub mod broker;
pub mod cast;
pub mod clock;
mod doors;
mod fleet;
pub mod ledger;
mod metrics;
pub mod redis;
pub mod schedule;
mod shrink;
mod signal;
mod world;

pub use books::Violation;
pub use schedule::{Schedule, Step};
pub use shrink::shrink;
pub use world::{Outcome, run};
