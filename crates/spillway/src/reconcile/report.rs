//! What `reconcile` says: the verdict first, then the events it is about, then the counts.

use super::Outcome;
use super::check::Damaged;
use super::obligation::Obligation;
use super::pass::Found;
use crate::moment;
use anyhow::bail;
use envelope::UnixMicros;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::hash::Hash;

/// Events named on a terminal; `--json` names all.
const SHOWN_MAX: usize = 50;

/// The outcome of one run.
#[derive(Debug)]
pub(super) struct Report {
    since: UnixMicros,
    /// The oldest entry of the whole journal.
    reach: Option<UnixMicros>,
    entries: u64,
    foreign: u64,
    applied: u64,
    dead: u64,
    found_later: u64,
    in_flight: Vec<Obligation>,
    in_flight_unnamed: u64,
    pub(super) unaccounted: Vec<Obligation>,
    unaccounted_unnamed: u64,
    damaged: Vec<Damaged>,
    damaged_unnamed: u64,
    /// Rows without a journal entry.
    pub(super) strays: u64,
    pub(super) repaired: u64,
}

impl Report {
    pub(super) fn of(found: &mut Found, since: UnixMicros, reach: Option<UnixMicros>) -> Self {
        Self {
            since,
            reach,
            entries: found.entries,
            foreign: found.foreign,
            applied: found.applied,
            dead: found.dead,
            found_later: 0,
            in_flight: Vec::new(),
            in_flight_unnamed: 0,
            unaccounted: Vec::new(),
            unaccounted_unnamed: 0,
            damaged: distinct(std::mem::take(&mut found.damaged), Damaged::clone),
            damaged_unnamed: found.damaged_unnamed,
            strays: 0,
            repaired: 0,
        }
    }

    /// What became of the missing.
    pub(super) fn settled(&mut self, outcome: Outcome) {
        self.found_later = outcome.found;
        let in_flight = outcome.in_flight.into_iter().map(|it| it.obligation);
        self.in_flight = distinct(in_flight.collect(), |it| it.key);
        self.in_flight_unnamed = outcome.in_flight_unnamed;
        self.unaccounted = distinct(outcome.unaccounted, |it| it.key);
        self.unaccounted_unnamed = outcome.unaccounted_unnamed;
    }

    /// An error where a person has to act.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let unrepaired = (self.unaccounted.len() as u64).saturating_sub(self.repaired);
        if self.unaccounted_unnamed > 0 {
            bail!(
                "too many events are unaccounted for to be named: was the ledger replaced? See `spillway replay`"
            );
        }
        match (unrepaired, self.damaged.len() as u64 + self.damaged_unnamed) {
            (0, 0) => Ok(()),
            (unaccounted, damaged) => {
                bail!(
                    "{unaccounted} events are unaccounted for, {damaged} have other rows than they should"
                )
            }
        }
    }

    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(&self.as_json())?);
        } else {
            self.print_for_people();
        }
        Ok(())
    }

    fn print_for_people(&self) {
        print_events("unaccounted for", &self.unaccounted);
        print_events("may be in flight", &self.in_flight);
        for damaged in self.damaged.iter().take(SHOWN_MAX) {
            let Damaged {
                pipeline,
                source,
                event_id,
                damage,
            } = damaged;
            println!("damaged  {pipeline}  {source}  {event_id}  {damage}");
        }
        let accounted = self.applied + self.dead + self.found_later;
        println!(
            "{} events in the journal since {}: {accounted} accounted for ({} applied, {} dead letters, {} found at a second look), {} may be in flight, {} unaccounted for, {} damaged",
            self.entries,
            moment::shown(self.since),
            self.applied,
            self.dead,
            self.found_later,
            self.in_flight.len() as u64 + self.in_flight_unnamed,
            self.unaccounted.len() as u64 + self.unaccounted_unnamed,
            self.damaged.len() as u64 + self.damaged_unnamed,
        );
        match self.reach {
            Some(reach) if reach > self.since => {
                println!(
                    "the journal sees no further back than {}",
                    moment::shown(reach)
                );
            }
            Some(reach) => println!("the journal sees back to {}", moment::shown(reach)),
            None => println!("the journal is empty"),
        }
        if self.strays > 0 {
            println!(
                "{} applied events are not in this part of the journal",
                self.strays
            );
        }
        if self.foreign > 0 {
            println!("{} entries of the journal are not ours", self.foreign);
        }
        if self.repaired > 0 {
            println!("{} published again", self.repaired);
        }
    }

    fn as_json(&self) -> Value {
        let events = |events: &[Obligation]| events.iter().map(event).collect::<Vec<_>>();
        json!({
            "since": moment::shown(self.since),
            "journal_reaches_back_to": self.reach.map(moment::shown),
            "entries": self.entries,
            "foreign_entries": self.foreign,
            "applied": self.applied,
            "dead_letters": self.dead,
            "found_at_second_look": self.found_later,
            "in_flight": events(&self.in_flight),
            "in_flight_unnamed": self.in_flight_unnamed,
            "unaccounted": events(&self.unaccounted),
            "unaccounted_unnamed": self.unaccounted_unnamed,
            "damaged": self.damaged,
            "damaged_unnamed": self.damaged_unnamed,
            "rows_without_journal_entry": self.strays,
            "repaired": self.repaired,
        })
    }
}

/// Each once. Sent twice, an event is in the journal twice.
fn distinct<T, N: Eq + Hash>(mut events: Vec<T>, name: impl Fn(&T) -> N) -> Vec<T> {
    let mut seen = HashSet::new();
    events.retain(|event| seen.insert(name(event)));
    events
}

fn event(obligation: &Obligation) -> Value {
    json!({
        "pipeline": obligation.pipeline,
        "source": obligation.source,
        "event_id": obligation.event_id,
        "received_at": moment::shown(obligation.received_at),
    })
}

fn print_events(what: &str, events: &[Obligation]) {
    for Obligation {
        pipeline,
        source,
        event_id,
        received_at,
        ..
    } in events.iter().take(SHOWN_MAX)
    {
        println!(
            "{what}  {pipeline}  {source}  {event_id}  received {}",
            moment::shown(*received_at)
        );
    }
    if events.len() > SHOWN_MAX {
        println!(
            "{what}  … and {} more (--json names all)",
            events.len() - SHOWN_MAX
        );
    }
}
