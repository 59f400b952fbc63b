//! The simulated wall clock: the runtime's paused one, and how far ours is off.

use envelope::UnixMicros;
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z. Any moment would do; this one is easy to read in a trace.
const BEGIN: UnixMicros = UnixMicros(1_767_225_600_000_000);

thread_local! {
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
    static SKEW_MICROS: Cell<i64> = const { Cell::new(0) };
}

/// Begins at the same moment in each simulation.
pub fn start() {
    STARTED.set(Some(Instant::now()));
    SKEW_MICROS.set(0);
}

/// Time since the simulation began, whatever the wall clock says.
pub fn elapsed() -> Duration {
    STARTED
        .get()
        .map_or(Duration::ZERO, |started| started.elapsed())
}

/// What the wall clock says.
pub fn now() -> UnixMicros {
    let micros = i64::try_from(elapsed().as_micros()).unwrap_or(i64::MAX);
    UnixMicros(BEGIN.0 + micros + SKEW_MICROS.get())
}

/// Moves the wall clock.
pub fn shift(seconds: i32) {
    SKEW_MICROS.set(SKEW_MICROS.get() + i64::from(seconds) * 1_000_000);
}
