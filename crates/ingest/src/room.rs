//! How much may be in flight: over it the answer is 503 at once, so that what is taken is answered in time.

use crate::refused::Refused;
use ops::config::IngestConfig;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts requests and the bytes of their bodies.
#[derive(Debug)]
pub struct Room {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// Room for one request; given back when dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _request: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Room {
    /// Room for what the configuration allows.
    pub fn new(bounds: &IngestConfig) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: semaphore(bounds.requests_max),
            bytes: semaphore(bounds.bytes_in_flight_max),
        }
    }

    /// Takes room for a request with a body of at most this many bytes, or none at all; never waits.
    pub(crate) fn take(&self, body_bytes: usize) -> Result<Taken, Refused> {
        let bytes = u32::try_from(body_bytes).map_err(|_| Refused::TooLarge)?;
        let full = |_| Refused::Overloaded;
        Ok(Taken {
            _request: self.requests.clone().try_acquire_owned().map_err(full)?,
            _bytes: self
                .bytes
                .clone()
                .try_acquire_many_owned(bytes)
                .map_err(full)?,
        })
    }
}
