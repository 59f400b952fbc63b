//! The same fault on one event after the other: no longer any event's own. Pure.

/// So many different events in a row cannot all be bad in the same unknown way.
const EVENTS_MAX: usize = 5;

/// Events in a row that met the same fault that no rule names.
#[derive(Clone, Debug)]
pub struct Streak<K> {
    code: Option<Box<str>>,
    /// Different ones; never more than [`EVENTS_MAX`] (I8).
    events: Vec<K>,
}

impl<K> Default for Streak<K> {
    fn default() -> Self {
        Self {
            code: None,
            events: Vec::new(),
        }
    }
}

impl<K: PartialEq> Streak<K> {
    /// An event has met the fault with this code. Whether by now it is everybody's.
    ///
    /// The same event again adds nothing: it proves no more than the first time.
    pub fn hit(&mut self, code: &str, event: K) -> bool {
        if self.code.as_deref() != Some(code) {
            self.code = Some(code.into());
            self.events.clear();
        }
        if self.events.len() < EVENTS_MAX && !self.events.contains(&event) {
            self.events.push(event);
        }
        self.events.len() == EVENTS_MAX
    }

    /// An event was applied, or failed in a way of its own.
    pub fn broken(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_different_events_in_a_row_are_everybodys_fault() {
        let mut streak = Streak::default();
        let verdicts: Vec<bool> = (1..=6).map(|event| streak.hit("P0001", event)).collect();
        assert_eq!(verdicts, [false, false, false, false, true, true]);
        assert!(streak.hit("P0001", 1), "it lasts");
    }

    #[test]
    fn one_event_again_and_again_is_its_own_fault() {
        let mut streak = Streak::default();
        assert!((0..100).all(|_| !streak.hit("P0001", 1)));
    }

    #[test]
    fn another_fault_or_an_event_that_was_applied_starts_over() {
        let mut streak = Streak::default();
        (1..=4).for_each(|event| assert!(!streak.hit("P0001", event)));
        assert!(!streak.hit("P0002", 5));
        (1..=4).for_each(|event| assert!(!streak.hit("P0001", event)));
        streak.broken();
        assert!(!streak.hit("P0001", 5));
    }
}
