//! Dead letters, as they are listed, found, taken out and put away.

use bytes::Bytes;
use envelope::{EventId, Key, PipelineName, SourceName, UnixMicros, Wire};
use std::fmt;
use std::str::FromStr;

/// Which letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    /// The pipeline it died in.
    pub pipeline: PipelineName,
    /// Its key; see [`crate::DeadLetter::key`].
    pub key: Key,
}

/// What has become of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LetterState {
    /// It waits for a person.
    Dead,
    /// A person has sent its event back to its pipeline.
    Replayed,
    /// A person has put it away.
    Discarded,
    /// Its event has been applied, so nothing is left to be done.
    Superseded,
}

/// What a person does with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Its event is confirmed to be back in its pipeline's queue.
    Replayed,
    /// It will not be needed.
    Discarded,
}

/// Which letters. What is not given fits every letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterFilter {
    /// Who sent it.
    pub source: Option<SourceName>,
    /// The sender's name for it.
    pub event_id: Option<EventId>,
    /// The pipeline it died in.
    pub pipeline: Option<PipelineName>,
    /// Why, one word.
    pub reason: Option<String>,
    /// The class of the last fault.
    pub class: Option<String>,
    /// What has become of it.
    pub state: Option<LetterState>,
    /// It died at this moment or later.
    pub since: Option<UnixMicros>,
    /// It died before this moment.
    pub until: Option<UnixMicros>,
    /// A part of its error message, in upper or lower case.
    pub text: Option<String>,
}

impl Default for LetterFilter {
    /// All that are dead.
    fn default() -> Self {
        Self {
            source: None,
            event_id: None,
            pipeline: None,
            reason: None,
            class: None,
            state: Some(LetterState::Dead),
            since: None,
            until: None,
            text: None,
        }
    }
}

/// Where a list of letters goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterCursor {
    /// When the last letter died.
    pub dead_at: UnixMicros,
    /// Which it was.
    pub id: LetterId,
}

/// A letter without what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Which it is.
    pub id: LetterId,
    /// How often it has been taken back out.
    pub replays: u32,
    /// How many copies of a captured request it stands for; 1 for every other letter.
    pub copies: u64,
    /// The sender's name for it; nothing where our headers were missing.
    pub event_id: Option<EventId>,
    /// Who sent it; nothing where our headers were missing.
    pub source: Option<SourceName>,
    /// Why it died, one word.
    pub reason: String,
    /// The class of the last fault.
    pub class: String,
    /// The message of the last fault.
    pub error: String,
    /// How many tries it had.
    pub attempts: u16,
    /// The length of its body.
    pub payload_bytes: u64,
    /// When its event was received.
    pub first_seen: UnixMicros,
    /// When it was filed, last.
    pub dead_at: UnixMicros,
    /// What has become of it. Superseded also where nobody has swept it yet.
    pub state: LetterState,
}

impl Letter {
    /// Where a list goes on after this one.
    pub fn cursor(&self) -> LetterCursor {
        LetterCursor {
            dead_at: self.dead_at,
            id: self.id.clone(),
        }
    }
}

/// A letter with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullLetter {
    /// What a list shows.
    pub letter: Letter,
    /// The raw body.
    pub payload: Bytes,
    /// Properties and headers as they lay on the broker.
    pub headers: Wire,
    /// What happened to it from its first death on, in that order.
    pub history: Vec<Entry>,
}

/// One thing that happened to a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: UnixMicros,
    /// The person who did it; nobody where it came about by itself.
    pub who: Option<String>,
    /// What happened.
    pub what: Happening,
    /// How often the letter had been taken back out: a replay of the letter with `n` is followed by a
    /// death with `n + 1`.
    pub replays: u32,
    /// Why it died, one word; nothing for what else can happen.
    pub reason: Option<String>,
}

impl From<Mark> for Happening {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::Replayed => Self::Replayed,
            Mark::Discarded => Self::Discarded,
        }
    }
}

/// What can happen to a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It was filed as dead, for the first time or again.
    Died,
    /// It was sent back to its pipeline.
    Replayed,
    /// It was put away.
    Discarded,
    /// Its event was found applied.
    Superseded,
}

/// How many letters of one class are dead in one pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadCount {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The class of the last fault.
    pub class: String,
    /// How many.
    pub letters: u64,
}

/// What a sweep did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many letters it marked as superseded.
    pub superseded: u64,
    /// Where the next one goes on; nothing after the last dead letter.
    pub next: Option<LetterCursor>,
}

/// One page of a sweep.
#[derive(Debug)]
pub(crate) struct SweepPage {
    /// The letters on it whose event has been applied, with their replays.
    pub applied: Vec<(LetterId, u32)>,
    /// Where the next page begins.
    pub next: Option<LetterCursor>,
}

/// Words in the database, and back.
macro_rules! words {
    ($name:ident, $($variant:ident: $word:literal),+) => {
        impl $name {
            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(concat!("it is one of", $(" ", $word),+).to_owned()),
                }
            }
        }
    };
}

words!(LetterState, Dead: "dead", Replayed: "replayed", Discarded: "discarded", Superseded: "superseded");
words!(Happening, Died: "died", Replayed: "replayed", Discarded: "discarded", Superseded: "superseded");
