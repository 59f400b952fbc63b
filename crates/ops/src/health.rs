//! Whether a program is ready, in the sense of Kubernetes' readiness probe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Starts as not ready. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// Started, or stopping.
    pub fn set_ready(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// What `/readyz` answers.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
