//! How much may be in flight: over it the answer is 503 at once, so that what is taken is answered in time.
//!
//! Room is taken for what has come, not for what was announced: whoever announces much, or sends slowly, holds its own
//! connection and nobody else's room.

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
pub(crate) struct ForRequest {
    _request: OwnedSemaphorePermit,
}

/// Room for what has come of a body; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct ForBytes {
    bytes: Option<OwnedSemaphorePermit>,
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

    /// Whether there is room for one more request with a body of so many bytes; takes none. Who would be refused
    /// after its body is refused before it.
    pub(crate) fn check(&self, body_bytes: usize) -> Result<(), Refused> {
        let has_room =
            self.requests.available_permits() > 0 && self.bytes.available_permits() >= body_bytes;
        has_room.then_some(()).ok_or(Refused::Overloaded)
    }

    /// Takes room for a request whose body is there; never waits.
    pub(crate) fn take_request(&self) -> Result<ForRequest, Refused> {
        let taken = self.requests.clone().try_acquire_owned();
        let _request = taken.map_err(|_| Refused::Overloaded)?;
        Ok(ForRequest { _request })
    }

    /// Takes room for so many bytes more; never waits.
    pub(crate) fn take_bytes(&self, held: &mut ForBytes, more: usize) -> Result<(), Refused> {
        let more = u32::try_from(more).map_err(|_| Refused::TooLarge)?;
        let taken = self.bytes.clone().try_acquire_many_owned(more);
        let taken = taken.map_err(|_| Refused::Overloaded)?;
        match &mut held.bytes {
            Some(bytes) => bytes.merge(taken),
            None => held.bytes = Some(taken),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(requests_max: usize, bytes_in_flight_max: usize) -> Room {
        Room::new(&IngestConfig {
            requests_max,
            bytes_in_flight_max,
            ..ops::config::load(None).unwrap().ingest
        })
    }

    #[test]
    fn bytes_are_held_as_they_come_and_given_back_together() {
        let room = room(1, 10);
        let mut held = ForBytes::default();
        for _ in 0..3 {
            assert_eq!(room.take_bytes(&mut held, 3), Ok(()));
        }
        assert_eq!(room.check(1), Ok(()));
        assert_eq!(room.check(2), Err(Refused::Overloaded));
        assert_eq!(room.take_bytes(&mut held, 2), Err(Refused::Overloaded));
        drop(held);
        assert_eq!(room.check(10), Ok(()));
    }

    #[test]
    fn a_request_without_room_is_refused_before_its_body_and_after_it() {
        let room = room(1, 10);
        let taken = room.take_request().unwrap();
        assert_eq!(room.check(0), Err(Refused::Overloaded));
        assert!(room.take_request().is_err());
        drop(taken);
        assert_eq!(room.check(10), Ok(()));
        assert!(room.take_request().is_ok());
    }
}
