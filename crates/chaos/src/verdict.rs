//! What a run found, for a person and for the exit code.

use crate::account::{Account, Kind};
use crate::faults::Fault;
use crate::footprint::Footprints;
use crate::oracle::Findings;
use comfy_table::{Table, presets};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What one kind of fault did, over the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Toll {
    pub alone: usize,
    pub in_pairs: usize,
    /// The longest time in which one of the doors accepted nothing.
    pub outage: Duration,
    /// The longest time from the healing until everything accepted before it was applied.
    pub drain: Duration,
}

#[derive(Debug)]
pub struct Verdict {
    pub seed: u64,
    pub elapsed: Duration,
    pub tolls: BTreeMap<Fault, Toll>,
    pub findings: Findings,
    /// Whatever a person would have had to do by hand, and what the programs said then.
    pub interventions: Vec<String>,
    pub footprints: Footprints,
    pub names: Vec<&'static str>,
    pub figures: String,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.findings.are_clean()
            && self.interventions.is_empty()
            && self.footprints.have_returned()
    }

    pub fn faults(&self) -> usize {
        let tolls = self.tolls.values();
        tolls.map(|toll| toll.alone + toll.in_pairs).sum()
    }

    fn faults_table(&self) -> Table {
        let mut table = table(&[
            "fault",
            "alone",
            "in pairs",
            "longest outage of acks",
            "longest drain",
        ]);
        for (fault, toll) in &self.tolls {
            table.add_row([
                fault.to_string(),
                toll.alone.to_string(),
                toll.in_pairs.to_string(),
                seconds(toll.outage),
                seconds(toll.drain),
            ]);
        }
        table
    }

    fn programs_table(&self) -> Table {
        let mut table = table(&["program", "before", "at most", "at the end"]);
        let Footprints { before, peak, now } = &self.footprints;
        for (at, name) in self.names.iter().enumerate() {
            let returned = if now[at].has_returned_to(before[at]) {
                ""
            } else {
                " (NOT BACK)"
            };
            table.add_row([
                (*name).to_owned(),
                before[at].to_string(),
                peak[at].to_string(),
                format!("{}{returned}", now[at]),
            ]);
        }
        table
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(head);
    table
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// What was sent and how it was answered, in one line.
pub fn figures(account: &Account) -> String {
    format!(
        "sent {} events ({} of them poison), accepted {} (202: {}), sent again {}, refused or unanswered {}, \
         held back {}",
        account.events.len(),
        account
            .events
            .iter()
            .filter(|event| event.kind == Kind::Poison)
            .count(),
        account.events.iter().filter(|event| event.accepted).count(),
        account.spooled,
        account.duplicates,
        account.refused,
        account.held_back,
    )
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\n{}\n\n{}\n",
            self.faults_table(),
            self.programs_table()
        )?;
        writeln!(out, "{}", self.figures)?;
        writeln!(out, "{}", self.findings)?;
        for intervention in &self.interventions {
            writeln!(out, "\nNEEDED A PERSON: {intervention}")?;
        }
        let verdict = if self.is_clean() { "PASSED" } else { "FAILED" };
        let (seed, faults, elapsed) = (self.seed, self.faults(), seconds(self.elapsed));
        write!(out, "{verdict}: seed {seed}, {faults} faults in {elapsed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::footprint::Footprint;

    fn verdict() -> Verdict {
        let footprint = Footprint {
            kibibytes: 20_000,
            descriptors: 30,
        };
        let one = || vec![footprint];
        Verdict {
            seed: 42,
            elapsed: Duration::from_secs(60),
            tolls: BTreeMap::new(),
            findings: Findings::default(),
            interventions: Vec::new(),
            footprints: Footprints {
                before: one(),
                peak: one(),
                now: one(),
            },
            names: vec!["worker 1"],
            figures: String::new(),
        }
    }

    fn fails_with(verdict: Verdict, word: &str) {
        let told = verdict.to_string();
        assert!(!verdict.is_clean(), "{told}");
        assert!(told.contains(word), "{told}");
        assert!(told.ends_with("FAILED: seed 42, 0 faults in 60.0 s"));
    }

    #[test]
    fn a_run_passes_only_where_nothing_was_lost_nobody_was_needed_and_nothing_was_kept() {
        assert!(verdict().is_clean());
        assert!(verdict().to_string().contains("PASSED: seed 42"));
        let mut lost = verdict();
        lost.findings.lost.push("s42_7".to_owned());
        fails_with(lost, "lost: 1 s42_7");
        let mut started_by_hand = verdict();
        let interventions = &mut started_by_hand.interventions;
        interventions.push("worker 1 died by itself".to_owned());
        fails_with(started_by_hand, "NEEDED A PERSON: worker 1 died by itself");
        let mut kept = verdict();
        kept.footprints.now[0].descriptors += 100;
        fails_with(kept, "NOT BACK");
    }
}
