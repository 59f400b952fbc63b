//! The oracle: what has become of every event, and which invariant that breaks.
//!
//! It is told of everything at the moment it happens, by the simulated broker, ledger and senders; nothing it
//! knows comes from the code it judges.

use crate::cast::Nature;
use crate::clock;
use broker::Content;
use bytes::Bytes;
use envelope::{Envelope, Key, PipelineName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, as the architecture numbers them.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// What is known of the events of one world.
#[derive(Debug, Default)]
pub struct Books(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    natures: BTreeMap<String, Nature>,
    being_sent: BTreeMap<String, usize>,
    stories: BTreeMap<Thing, Story>,
    /// Which events were refused by the ledger for now, and how often.
    refused: BTreeMap<String, u32>,
    /// The workers that have begun to try a suspect, and that have not come back from it.
    trying: BTreeMap<Key, BTreeSet<String>>,
    /// How many of them died, since one came back.
    deaths: BTreeMap<Key, usize>,
    violation: Option<Violation>,
    trace: Trace,
}

/// An event id with one of its bodies.
type Thing = (String, Bytes);

#[derive(Debug, Default)]
struct Story {
    /// The sender had a 200 or a 202.
    accepted: bool,
    /// It was stored by the broker or a spool once.
    stored: BTreeSet<Place>,
    /// Copies on the broker and in spools, ready or in hand.
    copies: u32,
    /// Its next states that were stored: attempt and parks.
    moved: BTreeSet<(u16, u32)>,
    dead: bool,
    row: Row,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Row {
    #[default]
    Never,
    There,
    /// The database came back without it.
    Forgotten,
    /// Deleted when nothing could bring the event back.
    Retired,
}

/// Where something is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A spool.
    Spool,
    /// A pipeline's queue, or the unrouted.
    Main,
    /// A queue in which events wait for their next try.
    Retry,
    /// Dead letters.
    Dead,
}

/// What happened, in order.
#[derive(Debug, Default)]
struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Books {
    /// Books in which every line is kept, to be read.
    pub fn kept(keep: bool) -> Self {
        let books = Self::default();
        books.inner().trace.lines = keep.then(Vec::new);
        books
    }

    /// An event the senders know.
    pub fn cast(&self, id: &str, nature: Nature) {
        self.inner().natures.insert(id.to_owned(), nature);
    }

    /// What an event is like.
    pub fn nature(&self, id: &str) -> Nature {
        let inner = self.inner();
        inner.natures.get(id).copied().unwrap_or(Nature::Healthy)
    }

    /// Writes down what happened.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        self.inner().trace.add(&what.to_string());
    }

    /// A sender begins to send, and does not stop before it is accepted.
    pub fn sending(&self, id: &str) {
        *self.inner().being_sent.entry(id.to_owned()).or_default() += 1;
    }

    /// A sender has what it wanted.
    pub fn sent(&self, id: &str) {
        *self.inner().being_sent.entry(id.to_owned()).or_default() -= 1;
    }

    /// How many senders are at it.
    pub fn senders(&self) -> usize {
        self.inner().being_sent.values().sum()
    }

    /// A sender has its answer, or has given up waiting for one.
    pub fn answered(&self, envelope: &Envelope, stored_in: Option<Place>) {
        let mut inner = self.inner();
        let line = format!("answer {} {stored_in:?}", envelope.event_id);
        inner.trace.add(&line);
        let story = inner.of(envelope);
        let Some(place) = stored_in else { return };
        story.accepted = true;
        if !story.stored.contains(&place) {
            inner.violate(
                "I1",
                format!("{} was accepted and not stored", envelope.event_id),
            );
        }
    }

    /// The broker, or a spool, has stored a copy.
    pub fn stored(&self, content: &Content, place: Place) {
        let Content::Event(envelope) = content else {
            return;
        };
        let mut inner = self.inner();
        let id = envelope.event_id.as_str();
        let (attempt, parked) = (envelope.attempt.number(), envelope.parked);
        let line = format!("stored {id} {place:?} {attempt} {parked}");
        inner.trace.add(&line);
        let story = inner.of(envelope);
        story.copies += 1;
        story.stored.insert(place);
        match place {
            Place::Retry => {
                story.moved.insert((attempt, parked));
            }
            Place::Dead => story.dead = true,
            Place::Main | Place::Spool => {}
        }
        match place {
            Place::Retry => inner.judge_attempt(id, attempt),
            Place::Dead => inner.judge_death(envelope),
            Place::Main | Place::Spool => {}
        }
    }

    /// A copy was erased by an ack.
    pub fn acked(&self, content: &Content, place: Place) {
        let Content::Event(envelope) = content else {
            return;
        };
        let mut inner = self.inner();
        let id = envelope.event_id.as_str();
        inner.trace.add(&format!("acked {id} {place:?}"));
        let (attempt, parked) = (envelope.attempt.number(), envelope.parked);
        let story = inner.of(envelope);
        story.copies -= 1;
        let has_row = story.row != Row::Never;
        let has_moved = story.dead
            || story.moved.contains(&(attempt + 1, parked))
            || story.moved.contains(&(attempt, parked + 1));
        let is_proved = match place {
            Place::Spool => story.stored.contains(&Place::Main),
            Place::Main | Place::Retry | Place::Dead => has_row || has_moved,
        };
        let is_lost = story.is_lost();
        if !is_proved {
            let what = format!("{id} was acked, and neither the ledger nor a next queue holds it");
            inner.violate("I2", what);
        } else if is_lost {
            inner.violate("I7", format!("{id} was accepted and is nowhere any more"));
        }
    }

    /// A commit has written an event's row.
    pub fn applied(&self, id: &str, body: &Bytes) {
        let mut inner = self.inner();
        inner.trace.add(&format!("applied {id}"));
        inner.story(id, body).row = Row::There;
    }

    /// A commit has appended an event's effect; `times` is how often that has happened to rows that stand.
    pub fn effect(&self, id: &str, times: usize) {
        if times > 1 {
            let what = format!("{id} was applied {times} times");
            self.violate("exactly once in effect", what);
        }
    }

    /// The ledger's row was lost in a failover.
    pub fn forgotten(&self, id: &str, body: &Bytes) {
        self.inner().story(id, body).row = Row::Forgotten;
    }

    /// The ledger's row was deleted by its retention.
    pub fn retired(&self, id: &str, body: &Bytes) {
        self.inner().story(id, body).row = Row::Retired;
    }

    /// Whether nothing can bring the event back.
    pub fn is_over(&self, id: &str) -> bool {
        let inner = self.inner();
        let mut bodies = inner.stories.iter().filter(|((of, _), _)| of == id);
        let is_being_sent = inner.being_sent.get(id).is_some_and(|senders| *senders > 0);
        !is_being_sent && bodies.all(|(_, story)| story.copies == 0)
    }

    /// Whether its row has been deleted by the retention; whoever sent it has long forgotten it.
    pub fn is_retired(&self, id: &str) -> bool {
        let inner = self.inner();
        inner
            .stories
            .iter()
            .any(|((of, _), story)| of == id && story.row == Row::Retired)
    }

    /// The ledger refuses an event for now.
    pub fn refused_for_now(&self, id: &str) -> u32 {
        let mut inner = self.inner();
        inner.trace.add(&format!("refused {id}"));
        let times = inner.refused.entry(id.to_owned()).or_default();
        *times += 1;
        *times
    }

    /// How often the ledger has refused an event for now.
    pub fn refusals(&self, id: &str) -> u32 {
        self.inner().refused.get(id).copied().unwrap_or(0)
    }

    /// A worker asks for a suspect's start to be written down.
    pub fn suspect_started(&self, worker: &str, key: Key, start: u32) {
        let mut inner = self.inner();
        inner.trace.add(&format!("start {start} by {worker}"));
        inner
            .trying
            .entry(key)
            .or_default()
            .insert(worker.to_owned());
    }

    /// Workers have come back from it.
    pub fn suspect_cleared(&self, key: Key) {
        let mut inner = self.inner();
        inner.trying.remove(&key);
        inner.deaths.remove(&key);
    }

    /// A worker died.
    pub fn died(&self, worker: &str) {
        let mut inner = self.inner();
        inner.trace.add(&format!("died {worker}"));
        let Inner { trying, deaths, .. } = &mut *inner;
        for (key, workers) in trying {
            *deaths.entry(*key).or_default() += usize::from(workers.remove(worker));
        }
    }

    /// A worker has come back and asks for that to be written down. Until it is, it counts as one that died:
    /// the database may not take it.
    pub fn suspect_returned(&self, worker: &str, key: Key) {
        let Inner { trying, deaths, .. } = &mut *self.inner();
        let was_trying = trying.entry(key).or_default().remove(worker);
        *deaths.entry(key).or_default() += usize::from(was_trying);
    }

    /// A worker ended as it was told to: it has come back from everything.
    pub fn stopped(&self, worker: &str) {
        let mut inner = self.inner();
        inner.trace.add(&format!("stopped {worker}"));
        for workers in inner.trying.values_mut() {
            workers.remove(worker);
        }
    }

    /// What has been broken, if anything has.
    pub fn violation(&self) -> Option<Violation> {
        self.inner().violation.clone()
    }

    /// Something that must not be.
    pub fn violate(&self, invariant: &'static str, what: String) {
        self.inner().violate(invariant, what);
    }

    /// After everything has come to rest: what was accepted is applied, or dead for a reason.
    pub fn close(&self) {
        let mut inner = self.inner();
        let restless = |story: &Story| {
            story.accepted && !(story.dead || matches!(story.row, Row::There | Row::Retired))
        };
        let found = inner.stories.iter().find(|(_, story)| restless(story));
        let found = found.map(|((id, _), story)| format!("{id} came to rest as {story:?}"));
        if let Some(what) = found {
            inner.violate("I7", what);
        }
    }

    /// What happened, as a number: equal for equal simulations.
    pub fn fingerprint(&self) -> u64 {
        self.inner().trace.hash
    }

    /// What happened, line by line, where that was asked for.
    pub fn lines(&self) -> Vec<String> {
        self.inner().trace.lines.clone().unwrap_or_default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn of(&mut self, envelope: &Envelope) -> &mut Story {
        self.story(envelope.event_id.as_str(), &envelope.body)
    }

    fn story(&mut self, id: &str, body: &Bytes) -> &mut Story {
        self.stories
            .entry((id.to_owned(), body.clone()))
            .or_default()
    }

    /// The first is what counts: what follows may follow from it.
    fn violate(&mut self, invariant: &'static str, what: String) {
        self.trace.add(&format!("VIOLATED {invariant}: {what}"));
        self.violation.get_or_insert(Violation { invariant, what });
    }

    /// Only what the ledger refused for the event's own sake costs it attempts (I11).
    fn judge_attempt(&mut self, id: &str, attempt: u16) {
        let refusals = self.refused.get(id).copied().unwrap_or(0);
        if u32::from(attempt) > 1 + refusals {
            let what =
                format!("{id} is at attempt {attempt} after {refusals} refusals of the ledger");
            self.violate("I11", what);
        }
    }

    /// Nothing healthy dies (I6).
    fn judge_death(&mut self, envelope: &Envelope) {
        let id = envelope.event_id.as_str();
        let reason = envelope.note.as_ref().map_or("", |note| &note.reason);
        let nature = self.natures.get(id).copied().unwrap_or(Nature::Healthy);
        let bodies = self.stories.keys().filter(|(of, _)| of == id).count();
        let key = envelope.key(&pipeline());
        // A worker that lost its session may still be at it, and counts as one that did not come back.
        let trying = self.trying.get(&key).map_or(0, BTreeSet::len);
        let deaths = trying + self.deaths.get(&key).copied().unwrap_or(0);
        let is_deserved = match reason {
            "not_json" => nature == Nature::NotJson,
            "refused_by_ledger" => nature == Nature::Refused,
            "retries_exhausted" => nature == Nature::Stuck,
            "conflicting_body" => bodies > 1,
            "replayed_signature" => matches!(nature, Nature::Replay | Nature::Replayed),
            // The broker's count condemns nobody: only starts without a return do.
            "crash_loop" => deaths >= 3,
            _ => false,
        };
        if !is_deserved {
            let what =
                format!("{id}, {nature:?}, is a dead letter: {reason}, after {deaths} deaths");
            self.violate("I6", what);
        }
    }
}

impl Story {
    fn is_lost(&self) -> bool {
        self.accepted
            && self.copies == 0
            && match self.row {
                Row::Never | Row::Forgotten => true,
                Row::There | Row::Retired => false,
            }
    }
}

impl Trace {
    fn add(&mut self, line: &str) {
        let at = clock::elapsed();
        let mut hasher = DefaultHasher::new();
        (self.hash, at, line).hash(&mut hasher);
        self.hash = hasher.finish();
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>10.3} {line}", at.as_secs_f64()));
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// The one pipeline of a simulated world.
pub fn pipeline() -> PipelineName {
    "payments".parse().expect("a name of ours")
}
