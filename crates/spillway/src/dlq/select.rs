//! Which letters a command is about.

use crate::moment;
use clap::Args;
use envelope::{EventId, PipelineName, SourceName, UnixMicros};
use ledger::{LetterFilter, LetterState};

/// What is not given fits every letter.
#[derive(Clone, Debug, Args)]
pub(super) struct Selection {
    /// Whose events.
    #[arg(long, value_name = "SOURCE")]
    source: Option<SourceName>,
    /// One event.
    #[arg(long, value_name = "ID")]
    event_id: Option<EventId>,
    /// The pipeline they died in; `unrouted` for events no pipeline takes.
    #[arg(long, value_name = "NAME")]
    pipeline: Option<PipelineName>,
    /// Why they died, such as `schema` or `retries_exhausted`.
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Whose fault it was: ours, contention, passing or poison.
    #[arg(long, value_name = "WORD")]
    class: Option<String>,
    /// They died then or later: how long ago, or a time in UTC.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    since: Option<UnixMicros>,
    /// They died before then.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    until: Option<UnixMicros>,
    /// A part of the error's text, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
}

impl Selection {
    /// Those of them in this state; in any, where there is none.
    pub(super) fn filter(&self, state: Option<LetterState>) -> LetterFilter {
        LetterFilter {
            source: self.source.clone(),
            event_id: self.event_id.clone(),
            pipeline: self.pipeline.clone(),
            reason: self.reason.clone(),
            class: self.class.clone(),
            state,
            since: self.since,
            until: self.until,
            text: self.error.clone(),
        }
    }
}
