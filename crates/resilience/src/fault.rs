//! Faults, classified where the knowledge is: `ledger` reads SQLSTATEs, a handler reads its body.

use std::fmt;

/// Whose fault it is, and so whether waiting helps. The rows of the disposition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A dependency of ours is away or misconfigured. Every event would fail: hold them all, and spend
    /// no event's attempt (I11).
    Ours,
    /// Two writers met. The same statement succeeds a moment later.
    Contention,
    /// This event cannot be applied yet, and may be later.
    Passing,
    /// This event can never be applied.
    Poison,
}

impl Class {
    /// The word used in headers, metrics and dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Contention => "contention",
            Self::Passing => "passing",
            Self::Poison => "poison",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an event ends as a dead letter: one word each, for people, filters and metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not a message of ours: our headers are missing or broken.
    Foreign,
    /// The body is not JSON.
    NotJson,
    /// The body is JSON and breaks the handler's schema.
    Schema,
    /// The body names an API version the handler does not know.
    UnknownVersion,
    /// The `id` in the body is not the event id it was sent under.
    ContradictingId,
    /// The same event id came before with another body.
    ConflictingBody,
    /// The same signed bytes came before under another event id.
    ReplayedSignature,
    /// The database refuses the event's data.
    RefusedByLedger,
    /// It failed five retries.
    RetriesExhausted,
    /// It was parked for longer than a day.
    ParkedTooLong,
    /// Three workers died while they worked on it, alone.
    CrashLoop,
    /// It was received longer ago than applied events are remembered.
    BeyondRetention,
    /// No pipeline takes its source.
    Unrouted,
}

impl Reason {
    /// Every reason, for metrics that are there at zero.
    pub const ALL: [Self; 13] = [
        Self::Foreign,
        Self::NotJson,
        Self::Schema,
        Self::UnknownVersion,
        Self::ContradictingId,
        Self::ConflictingBody,
        Self::ReplayedSignature,
        Self::RefusedByLedger,
        Self::RetriesExhausted,
        Self::ParkedTooLong,
        Self::CrashLoop,
        Self::BeyondRetention,
        Self::Unrouted,
    ];

    /// The class of the faults that end for this reason.
    pub fn class(self) -> Class {
        match self {
            Self::RetriesExhausted => Class::Passing,
            Self::ParkedTooLong => Class::Contention,
            Self::Foreign
            | Self::NotJson
            | Self::Schema
            | Self::UnknownVersion
            | Self::ContradictingId
            | Self::ConflictingBody
            | Self::ReplayedSignature
            | Self::RefusedByLedger
            | Self::CrashLoop
            | Self::BeyondRetention
            | Self::Unrouted => Class::Poison,
        }
    }

    /// The word used in headers, metrics and dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::NotJson => "not_json",
            Self::Schema => "schema",
            Self::UnknownVersion => "unknown_version",
            Self::ContradictingId => "contradicting_id",
            Self::ConflictingBody => "conflicting_body",
            Self::ReplayedSignature => "replayed_signature",
            Self::RefusedByLedger => "refused_by_ledger",
            Self::RetriesExhausted => "retries_exhausted",
            Self::ParkedTooLong => "parked_too_long",
            Self::CrashLoop => "crash_loop",
            Self::BeyondRetention => "beyond_retention",
            Self::Unrouted => "unrouted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something went wrong with an event or under it.
///
/// The message is for logs and dead letters: it never holds any part of a body or a secret (I9).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Whose fault it is.
    pub class: Class,
    /// The word under which it is filed, should it end as a dead letter.
    pub reason: Reason,
    /// What happened, for people.
    pub message: String,
    /// The dependency's code for it, where no rule of ours names that code. Such a fault is taken for the
    /// event's own until the same code has hit several events in a row: then it is everybody's, and ours.
    pub unknown: Option<Box<str>>,
}

impl Fault {
    /// A dependency of ours is away.
    pub fn ours(message: impl Into<String>) -> Self {
        Self {
            class: Class::Ours,
            reason: Reason::RetriesExhausted,
            message: message.into(),
            unknown: None,
        }
    }

    /// Two writers met.
    pub fn contention(message: impl Into<String>) -> Self {
        Self {
            class: Class::Contention,
            reason: Reason::RetriesExhausted,
            message: message.into(),
            unknown: None,
        }
    }

    /// This event cannot be applied yet.
    pub fn passing(message: impl Into<String>) -> Self {
        Self {
            class: Class::Passing,
            reason: Reason::RetriesExhausted,
            message: message.into(),
            unknown: None,
        }
    }

    /// A code that no rule names: passing, until it has hit several events in a row.
    pub fn unknown(code: impl Into<Box<str>>, message: impl Into<String>) -> Self {
        Self {
            unknown: Some(code.into()),
            ..Self::passing(message)
        }
    }

    /// This event can never be applied.
    pub fn poison(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            class: Class::Poison,
            reason,
            message: message.into(),
            unknown: None,
        }
    }
}
