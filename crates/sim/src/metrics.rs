//! Metrics that nobody reads, made once for each thread: their registry is slower than a simulation.

use crate::books::pipeline;
use prometheus::Registry;

thread_local! {
    static SHARED: (ingest::Events, worker::Events) = {
        let registry = Registry::new();
        let door = ingest::Events::register(&registry, std::iter::empty());
        let workers = worker::Metrics::register(&registry, std::iter::empty());
        let once = "a new registry has none of them";
        (door.expect(once), workers.expect(once).of(&pipeline(), "simulated"))
    };
}

/// The doors' and the workers'.
pub fn shared() -> (ingest::Events, worker::Events) {
    SHARED.with(Clone::clone)
}
