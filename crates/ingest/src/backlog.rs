//! How much waits in the queue: above a bound the door refuses, so that the bound is met here and never by
//! a retry or a dead letter.

use crate::refused::Refused;
use tokio::sync::watch;

/// The depth of the fullest pipeline's queue, as last looked at.
#[derive(Debug)]
pub struct Backlog {
    depth: watch::Receiver<Option<u64>>,
    max: u64,
}

impl Backlog {
    /// Refuses above `max` events.
    pub fn new(depth: watch::Receiver<Option<u64>>, max: u64) -> Self {
        Self { depth, max }
    }

    /// An unknown depth is let in: whether the event can be stored, its publish will tell.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        match *self.depth.borrow() {
            Some(depth) if depth > self.max => Err(Refused::Backlog),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_too_much_is_refused() {
        let (depth, watched) = watch::channel(None);
        let backlog = Backlog::new(watched, 100);
        for (now, expected) in [
            (None, Ok(())),
            (Some(100), Ok(())),
            (Some(101), Err(Refused::Backlog)),
        ] {
            depth.send_replace(now);
            assert_eq!(backlog.check(), expected);
        }
    }
}
