//! What `send` says: a line for each event that did not go well, and for all of them in the end.

use super::deliver::Sent;
use super::watch::Fate;
use envelope::EventId;
use std::time::Duration;

/// Lines about single events; after this many the summary has to do.
const LINES_MAX: u32 = 20;

pub(super) struct Report {
    count: u32,
    watched: bool,
    lines: u32,
    accepted: u32,
    applied: Vec<Duration>,
}

impl Report {
    pub(super) fn new(count: u32, watched: bool) -> Self {
        Self {
            count,
            watched,
            lines: 0,
            accepted: 0,
            applied: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, id: &EventId, sent: &Sent, fate: Option<&Fate>) {
        let millis = |duration: &Duration| duration.as_millis().max(1);
        let said = match (&sent.answer, fate) {
            (Err(why), _) => format!("not sent: {why}"),
            (Ok((status, body)), None) if !sent.was_accepted() => {
                format!("refused with {status}: {body}")
            }
            (Ok((status, _)), None) => {
                format!(
                    "answered {status} in {} ms; no ledger in the configuration, so not watched",
                    millis(&sent.took)
                )
            }
            (Ok(_), Some(Fate::Applied { after })) => {
                let total = sent.took + *after;
                self.applied.push(total);
                format!("applied once in {} ms", millis(&total))
            }
            (
                Ok(_),
                Some(Fate::Dead {
                    pipeline,
                    reason,
                    error,
                }),
            ) => {
                format!("accepted, and dead in {pipeline}: {reason}: {error}")
            }
            (Ok(_), Some(Fate::Waiting { pipelines })) => {
                let names: Vec<_> = pipelines.iter().map(ToString::to_string).collect();
                format!(
                    "accepted, and not applied yet in {}: is its worker running?",
                    names.join(", ")
                )
            }
        };
        self.accepted += u32::from(sent.was_accepted());
        let good = if self.watched {
            matches!(fate, Some(Fate::Applied { .. }))
        } else {
            sent.was_accepted()
        };
        if self.count == 1 || (!good && self.lines < LINES_MAX) {
            println!("{id}: {said}");
            self.lines += 1;
        }
    }

    /// Fails unless every event went well.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let applied = self.applied.len() as u32;
        if self.count > 1 {
            self.applied.sort_unstable();
            let at = |percent: usize| {
                let last = self.applied.len().saturating_sub(1);
                self.applied
                    .get(last * percent / 100)
                    .map_or(0, |took| took.as_millis())
            };
            println!("{} events: {} accepted", self.count, self.accepted);
            if self.watched {
                println!(
                    "{applied} applied once, p50 {} ms, p99 {} ms, max {} ms",
                    at(50),
                    at(99),
                    at(100)
                );
            }
        }
        let good = if self.watched { applied } else { self.accepted };
        if good < self.count {
            anyhow::bail!(
                "{} of {} events were not {}",
                self.count - good,
                self.count,
                if self.watched { "applied" } else { "accepted" }
            );
        }
        Ok(())
    }
}
