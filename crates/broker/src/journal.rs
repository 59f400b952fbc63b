//! The journal, read: everything the door accepted, in the order the broker took it.
//!
//! A reader is bounded on both ends. It ends with what lay in the journal when it began, and it holds a few
//! hundred entries at most: whoever reads slowly slows the broker down, not the memory up (I8).

use crate::Content;
use envelope::UnixMicros;
use std::fmt;
use tokio::sync::mpsc;

/// Entries between the broker and whoever reads. Enough to hide a round trip at 50,000 entries a second, and
/// with bodies of 1 MiB still no more than a reader's machine can hold.
const WAITING_MAX: usize = 256;

/// Where in the journal to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalStart {
    /// With the oldest entry that is kept.
    Oldest,
    /// With what was received at this moment or later, by the `received_at` of its envelope. What cannot be
    /// read has none, and is handed over where it lies between the others.
    Since(UnixMicros),
    /// With the entry after this one, or the oldest that is kept where that one is gone.
    After(Position),
}

/// An entry's place in the journal. Goes up, with gaps; means something to its own broker only.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Position(pub u64);

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// The event as the door sealed it; foreign where somebody else wrote it.
    pub content: Content,
}

/// Why the journal cannot be read on. What was handed over before is right and in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The configuration keeps no journal, or the broker has none.
    #[error("there is no journal")]
    Missing,
    /// The broker was away, or went away and did not come back in time. Waiting helps.
    #[error("the journal cannot be reached: {0}")]
    Away(String),
    /// The embedded broker's file cannot be read.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
}

/// Reads the journal from its start to what lay in it when the reader began.
#[derive(Debug)]
pub struct JournalReader {
    steps: mpsc::Receiver<Step>,
    end: Option<Result<(), JournalError>>,
}

/// What a broker says to a reader.
#[derive(Debug)]
enum Step {
    Entry(Entry),
    End(Result<(), JournalError>),
}

/// The serving end of a [`JournalReader`].
#[derive(Debug)]
pub(crate) struct JournalFeed(mpsc::Sender<Step>);

/// Nobody reads any more.
#[derive(Debug)]
pub(crate) struct Unwanted;

/// A reader and the end that feeds it.
pub(crate) fn journal_reader() -> (JournalReader, JournalFeed) {
    let (sender, steps) = mpsc::channel(WAITING_MAX);
    (JournalReader { steps, end: None }, JournalFeed(sender))
}

impl JournalReader {
    /// The next entries, at most `max`, waiting only for the first; nothing at the end.
    ///
    /// # Errors
    /// Where the rest cannot be read. A later call says the same again; to go on, start another reader
    /// [after](JournalStart::After) the last position.
    pub async fn next_batch(&mut self, max: usize) -> Result<Option<Vec<Entry>>, JournalError> {
        if self.end.is_none() {
            let mut steps = Vec::new();
            if self.steps.recv_many(&mut steps, max.max(1)).await == 0 {
                self.end = Some(Err(JournalError::Away(
                    "its reading was stopped".to_owned(),
                )));
            }
            let entries = self.entries(steps);
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
        }
        match &self.end {
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(())) | None => Ok(None),
        }
    }

    fn entries(&mut self, steps: Vec<Step>) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(steps.len());
        for step in steps {
            match step {
                Step::Entry(entry) => entries.push(entry),
                Step::End(end) => self.end = Some(end),
            }
        }
        entries
    }

    /// The time of receipt of the first entry that has one.
    pub(crate) async fn first_received_at(mut self) -> Result<Option<UnixMicros>, JournalError> {
        while let Some(batch) = self.next_batch(1).await? {
            let received_at = batch.iter().find_map(|entry| entry.content.received_at());
            if received_at.is_some() {
                return Ok(received_at);
            }
        }
        Ok(None)
    }
}

impl JournalFeed {
    /// Hands an entry over, once there is room.
    pub(crate) async fn entry(&self, entry: Entry) -> Result<(), Unwanted> {
        self.0.send(Step::Entry(entry)).await.map_err(|_| Unwanted)
    }

    /// The same for a thread.
    pub(crate) fn blocking_entry(&self, entry: Entry) -> Result<(), Unwanted> {
        self.0
            .blocking_send(Step::Entry(entry))
            .map_err(|_| Unwanted)
    }

    /// Says how it ended.
    pub(crate) async fn end(self, end: Result<(), JournalError>) {
        // A reader that is gone does not want to know.
        let _ = self.0.send(Step::End(end)).await;
    }

    /// The same for a thread.
    pub(crate) fn blocking_end(self, end: Result<(), JournalError>) {
        // A reader that is gone does not want to know.
        let _ = self.0.blocking_send(Step::End(end));
    }

    /// Returns when nobody reads any more.
    pub(crate) async fn unwanted(&self) {
        self.0.closed().await;
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
