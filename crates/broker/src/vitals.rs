//! How a program's connections with the broker are, for its metrics page.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What became of the connections with the broker, so far. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    epochs: AtomicU64,
    blocked: Mutex<BTreeMap<&'static str, u64>>,
}

/// The kind of connection that an alarm blocks.
pub(crate) const PUBLISHING: &str = "publishing";

/// One connection is blocked until this is dropped.
pub(crate) struct Blocked<'a>(&'a Vitals, &'static str);

impl Vitals {
    /// Those of a program that publishes, as every program does.
    pub(crate) fn of_publisher() -> Self {
        let vitals = Self::default();
        vitals.knows(PUBLISHING);
        vitals
    }

    /// There are connections of this kind, blocked or not.
    pub(crate) fn knows(&self, connection: &'static str) {
        self.locked().entry(connection).or_default();
    }

    /// A session begins; its number, from 1.
    pub(crate) fn next_epoch(&self) -> u64 {
        self.0.epochs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The broker reads nothing from one connection of this kind.
    pub(crate) fn blocked(&self, connection: &'static str) -> Blocked<'_> {
        *self.locked().entry(connection).or_default() += 1;
        Blocked(self, connection)
    }

    /// Sessions with the broker that were begun since the start.
    pub fn epochs_total(&self) -> u64 {
        self.0.epochs.load(Ordering::Relaxed)
    }

    /// How many connections of each kind the broker reads nothing from, because of an alarm.
    pub fn blocked_connections(&self) -> BTreeMap<&'static str, u64> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        // A number is changed in one step: a panicking holder leaves nothing half done.
        self.0
            .blocked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        let Self(vitals, connection) = self;
        if let Some(count) = vitals.locked().get_mut(connection) {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_blocked_until_its_alarm_or_its_session_is_over() {
        let vitals = Vitals::of_publisher();
        let count = || vitals.blocked_connections()[PUBLISHING];
        assert_eq!(count(), 0);
        let (one, two) = (vitals.blocked(PUBLISHING), vitals.blocked(PUBLISHING));
        assert_eq!(count(), 2);
        drop(one);
        drop(two);
        assert_eq!(count(), 0);
        assert_eq!((vitals.next_epoch(), vitals.next_epoch()), (1, 2));
        assert_eq!(vitals.epochs_total(), 2);
    }
}
