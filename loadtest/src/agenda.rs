//! Which request is next, and for whom. A lane that has nothing to do waits here until something is due.

use crate::mix::{Mix, Request};
use crate::schedule::{Due, Schedule};
use std::iter::Peekable;
use std::task::Waker;
use std::time::Duration;

/// What is still to be sent in a run.
#[derive(Debug)]
pub struct Agenda {
    model: Model,
    mix: Mix,
    requests: u64,
    requests_most: u64,
    events: u64,
    /// When whatever is overdue is given up.
    ends: Duration,
    is_over: bool,
    idle: Vec<Waker>,
}

#[derive(Debug)]
enum Model {
    /// Arrivals are due at fixed times, whatever becomes of those before them.
    Open(Box<Peekable<Due>>),
    /// The next one is due when a lane is free.
    Closed,
}

/// One request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When it was due.
    pub due: Duration,
    /// Of which event.
    pub event: u64,
    /// Whether that was sent before.
    pub is_copy: bool,
}

/// What there is to do for a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This.
    Send(Turn),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    Over,
}

impl Agenda {
    /// Arrivals by a schedule. Those that are overdue at its end are still sent for `grace`.
    pub fn open(schedule: &Schedule, mix: Mix, requests_most: u64, grace: Duration) -> Self {
        let due = Box::new(schedule.due().peekable());
        Self::new(
            Model::Open(due),
            mix,
            requests_most,
            schedule.length() + grace,
        )
    }

    /// One after the other in every lane, for so long.
    pub fn closed(length: Duration, mix: Mix, requests_most: u64) -> Self {
        Self::new(Model::Closed, mix, requests_most, length)
    }

    fn new(model: Model, mix: Mix, requests_most: u64, ends: Duration) -> Self {
        Self {
            model,
            mix,
            requests: 0,
            requests_most,
            events: 0,
            ends,
            is_over: false,
            idle: Vec::new(),
        }
    }

    /// The next request, where one is due now.
    pub fn next(&mut self, now: Duration) -> Next {
        if self.is_over || now >= self.ends || self.requests >= self.requests_most {
            return Next::Over;
        }
        let due = match &mut self.model {
            Model::Closed => now,
            Model::Open(due) => match due.next_if(|due| *due <= now) {
                Some(due) => due,
                None if due.peek().is_some() => return Next::Wait,
                None => return Next::Over,
            },
        };
        Next::Send(self.take(due))
    }

    fn take(&mut self, due: Duration) -> Turn {
        let request = self.mix.request(self.requests, self.events);
        self.requests += 1;
        match request {
            Request::Copy(back) => Turn {
                due,
                event: self.events - back,
                is_copy: true,
            },
            Request::Fresh => {
                self.events += 1;
                Turn {
                    due,
                    event: self.events - 1,
                    is_copy: false,
                }
            }
        }
    }

    /// When somebody should look again: at the next arrival that is due, or at the end.
    pub fn next_due(&mut self) -> Option<Duration> {
        if self.is_over || self.requests >= self.requests_most {
            return None;
        }
        match &mut self.model {
            Model::Closed => Some(self.ends),
            Model::Open(due) => due.peek().copied(),
        }
    }

    /// Nothing more is sent from here on.
    pub fn stop(&mut self) {
        self.is_over = true;
        self.dismiss();
    }

    /// Nothing more will be due: whoever waits may look for the last time.
    pub fn dismiss(&mut self) {
        self.idle.drain(..).for_each(Waker::wake);
    }

    /// This lane waits. The one that came last is woken first: its connection is the warmest.
    pub fn wait(&mut self, waker: &Waker) {
        self.idle.push(waker.clone());
    }

    /// Wakes a lane if something is due; it wakes the next one.
    pub fn wake_one(&mut self, now: Duration) {
        let is_due = match &mut self.model {
            Model::Open(due) => due.peek().is_some_and(|due| *due <= now),
            Model::Closed => false,
        };
        if is_due && let Some(waker) = self.idle.pop() {
            waker.wake();
        }
    }

    /// The requests that were due by `until` and got no turn.
    pub fn overdue(&mut self, until: Duration) -> Vec<Duration> {
        let left = self.requests_most.saturating_sub(self.requests);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        match &mut self.model {
            Model::Closed => Vec::new(),
            Model::Open(due) => due.take_while(|due| *due <= until).take(left).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Shares;
    use proptest::prelude::*;

    fn mix(copies: f64) -> Mix {
        let shares = Shares {
            copies,
            ..Shares::default()
        };
        Mix::new(1, shares)
    }

    fn seconds(of: f64) -> Duration {
        Duration::from_secs_f64(of)
    }

    #[test]
    fn nothing_is_sent_before_it_is_due_and_everything_after() {
        let mut agenda = Agenda::open(
            &Schedule::steady(10.0, seconds(1.0)),
            mix(0.0),
            u64::MAX,
            seconds(5.0),
        );
        assert!(matches!(agenda.next(seconds(0.0)), Next::Send(turn) if turn.event == 0));
        assert_eq!(agenda.next(seconds(0.05)), Next::Wait);
        // Late: all that are due now, each with the moment it was due.
        let turn = |event: u64| {
            Next::Send(Turn {
                due: seconds(event as f64 / 10.0),
                event,
                is_copy: false,
            })
        };
        assert_eq!(
            [agenda.next(seconds(0.25)), agenda.next(seconds(0.25))],
            [turn(1), turn(2)]
        );
        assert_eq!(agenda.next(seconds(0.25)), Next::Wait);
        // Beyond the schedule those that are left still have their turn, until the grace is over.
        assert_eq!(agenda.next(seconds(3.0)), turn(3));
        assert_eq!(agenda.next(seconds(6.0)), Next::Over);
        assert_eq!(agenda.overdue(seconds(6.0)).len(), 6);
    }

    #[test]
    fn a_closed_model_has_always_something_to_send_until_its_end() {
        let mut agenda = Agenda::closed(seconds(1.0), mix(0.0), 3);
        for event in 0..3 {
            let due = seconds(0.5);
            assert_eq!(
                agenda.next(due),
                Next::Send(Turn {
                    due,
                    event,
                    is_copy: false
                })
            );
        }
        assert_eq!(agenda.next(seconds(0.5)), Next::Over);
        assert_eq!(
            Agenda::closed(seconds(1.0), mix(0.0), 3).next(seconds(1.0)),
            Next::Over
        );
    }

    #[test]
    fn stopped_it_is_over_and_what_was_due_until_then_is_overdue() {
        let mut agenda = Agenda::open(
            &Schedule::steady(10.0, seconds(1.0)),
            mix(0.0),
            u64::MAX,
            seconds(5.0),
        );
        agenda.stop();
        assert_eq!(agenda.next(seconds(0.3)), Next::Over);
        assert_eq!(agenda.next_due(), None);
        assert_eq!(agenda.overdue(seconds(0.35)).len(), 4);
    }

    proptest! {
        /// However late anybody looks: as many requests as the schedule has, none twice, copies only of what was
        /// made, and what is left over is exactly what is overdue.
        #[test]
        fn nothing_is_forgotten_and_nothing_sent_twice(
            rate in 1.0..500.0_f64, copies in 0.0..0.9_f64, looks in proptest::collection::vec(0.0..0.3_f64, 1..40),
        ) {
            let schedule = Schedule::steady(rate, seconds(2.0));
            let mut agenda = Agenda::open(&schedule, mix(copies), u64::MAX, seconds(1.0));
            let (mut now, mut sent, mut events) = (0.0, 0_u64, 0_u64);
            for look in looks {
                now += look;
                while let Next::Send(turn) = agenda.next(seconds(now)) {
                    prop_assert!(turn.due <= seconds(now));
                    prop_assert_eq!(turn.is_copy, turn.event < events);
                    prop_assert!(turn.event <= events);
                    sent += 1;
                    events = events.max(turn.event + 1);
                }
            }
            let overdue = agenda.overdue(schedule.length()).len() as u64;
            prop_assert_eq!(sent + overdue, schedule.due().count() as u64);
        }
    }
}
