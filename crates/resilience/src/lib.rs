//! What a fault is, and how long to wait: pure, with time and randomness passed in (I10).
//!
//! Nothing here does I/O. Start with [`Fault`]: whose fault something is decides everything after it.

mod backoff;
mod breaker;
mod fault;
mod streak;

pub use backoff::{Backoff, RETRY_DELAYS, retry_delay};
pub use breaker::{Breaker, BreakerState, PROBE_TIMEOUT};
pub use fault::{Class, Fault, Reason};
pub use streak::Streak;
