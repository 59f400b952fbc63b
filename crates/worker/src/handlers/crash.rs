//! A way for tests to kill a worker from inside its handler. Not in a release build: the module, and every
//! call of it, is there with `debug_assertions` alone.

use envelope::EventId;

/// Names the event whose body kills whoever reads it.
const WHEN_DECODING: &str = "SPILLWAY_TEST_CRASH_WHEN_DECODING";
/// Names the event that kills whoever applies it, with its transaction open.
const WHEN_APPLYING: &str = "SPILLWAY_TEST_CRASH_WHEN_APPLYING";

/// Called before a body is read.
pub(super) fn when_decoding(event_id: &EventId) {
    crash_if_named(WHEN_DECODING, event_id);
}

/// Called before an event is applied.
pub(super) fn when_applying(event_id: &EventId) {
    crash_if_named(WHEN_APPLYING, event_id);
}

fn crash_if_named(variable: &str, event_id: &EventId) {
    if std::env::var_os(variable).is_some_and(|id| id == event_id.as_str()) {
        // As a stack overflow or the system's memory killer would end it: no drop runs, nothing is told.
        std::process::abort();
    }
}
