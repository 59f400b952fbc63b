//! What the sender knows: every event it sent and how it was answered. The other half of the oracle.

use reqwest::StatusCode;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What an event is, and so where it has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has to be applied.
    Payment,
    /// Has to be a dead letter: its body is not JSON.
    Poison,
}

/// One event, by its number.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub kind: Kind,
    /// Answered 200 or 202, to whichever copy: an obligation.
    pub accepted: bool,
}

/// The acks of one door.
#[derive(Clone, Copy, Debug)]
pub struct Acks {
    pub count: u64,
    last: Instant,
    longest: Duration,
}

#[derive(Debug)]
pub struct Account {
    prefix: String,
    pub events: Vec<Sent>,
    /// Accepted payments that have not been seen in the ledger yet.
    pub pending: BTreeSet<usize>,
    pub doors: Vec<Acks>,
    pub spooled: u64,
    pub duplicates: u64,
    /// Answered 503, or not at all.
    pub refused: u64,
    /// Not sent, because too many were in flight.
    pub held_back: u64,
    /// Answered with something else than 200, 202 or 503.
    pub surprising: Vec<String>,
}

impl Account {
    pub fn new(prefix: &str, doors: usize) -> Self {
        let acks = Acks {
            count: 0,
            last: Instant::now(),
            longest: Duration::ZERO,
        };
        Self {
            prefix: prefix.to_owned(),
            events: Vec::new(),
            pending: BTreeSet::new(),
            doors: vec![acks; doors],
            spooled: 0,
            duplicates: 0,
            refused: 0,
            held_back: 0,
            surprising: Vec::new(),
        }
    }

    pub fn id(&self, number: usize) -> String {
        format!("{}_{number}", self.prefix)
    }

    pub fn number(&self, id: &str) -> Option<usize> {
        let number = id.strip_prefix(&self.prefix)?.strip_prefix('_')?;
        number.parse().ok().filter(|at| *at < self.events.len())
    }

    /// A new event is about to be sent.
    pub fn open(&mut self, kind: Kind) -> usize {
        self.events.push(Sent {
            kind,
            accepted: false,
        });
        self.events.len() - 1
    }

    pub fn note(&mut self, number: usize, door: usize, answer: Result<StatusCode, reqwest::Error>) {
        match answer {
            Ok(StatusCode::OK) => self.accept(number, door),
            Ok(StatusCode::ACCEPTED) => {
                self.spooled += 1;
                self.accept(number, door);
            }
            // Refused, or nobody there: the event may be stored or not.
            Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => self.refused += 1,
            Ok(other) => self
                .surprising
                .push(format!("{}: {other}", self.id(number))),
        }
    }

    fn accept(&mut self, number: usize, door: usize) {
        self.doors[door].ack();
        let event = &mut self.events[number];
        if !std::mem::replace(&mut event.accepted, true) && event.kind == Kind::Payment {
            self.pending.insert(number);
        }
    }

    pub fn accepted(&self, kind: Kind) -> usize {
        let owed = |event: &&Sent| event.accepted && event.kind == kind;
        self.events.iter().filter(owed).count()
    }
}

impl Acks {
    fn ack(&mut self) {
        self.longest = self.gap();
        self.last = Instant::now();
        self.count += 1;
    }

    /// The longest time without an ack since the watch began, the one that still lasts included.
    pub fn gap(&self) -> Duration {
        self.longest.max(self.last.elapsed())
    }

    /// Watches from now on.
    pub fn watch(&mut self) {
        self.longest = Duration::ZERO;
    }
}
