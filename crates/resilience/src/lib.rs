//! What a fault is, how long to wait, and how many workers to want: pure, with time and randomness passed in (I10).
//!
//! Nothing here does I/O. Start with [`Fault`]: whose fault something is decides everything after it.

mod backoff;
mod breaker;
mod fault;
mod scaling;
mod streak;

pub use backoff::{Backoff, RETRY_DELAYS, retry_delay};
pub use breaker::{Breaker, BreakerState, PROBE_TIMEOUT};
pub use fault::{Class, Fault, Reason};
pub use scaling::{Decision, Hold, Scaler, ScalingPolicy, Seen};
pub use streak::Streak;
