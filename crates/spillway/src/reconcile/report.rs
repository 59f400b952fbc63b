//! What `reconcile` says: the verdict first, then the events it is about, then the counts.

use super::check::Damaged;
use super::obligation::Obligation;
use super::pass::Found;
use super::settle::Settled;
use crate::moment;
use anyhow::bail;
use envelope::UnixMicros;
use serde_json::{Value, json};

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
    unnamed: u64,
    pub(super) unaccounted: Vec<Obligation>,
    damaged: Vec<Damaged>,
    /// Rows without a journal entry.
    pub(super) strays: u64,
    pub(super) repaired: u64,
}

impl Report {
    pub(super) fn of(found: &Found, since: UnixMicros, reach: Option<UnixMicros>) -> Self {
        Self {
            since,
            reach,
            entries: found.entries,
            foreign: found.foreign,
            applied: found.applied,
            dead: found.dead,
            found_later: 0,
            in_flight: Vec::new(),
            unnamed: found.missing_unnamed,
            unaccounted: Vec::new(),
            damaged: found.damaged.clone(),
            strays: 0,
            repaired: 0,
        }
    }

    /// What became of the missing.
    pub(super) fn settled(&mut self, settled: Settled) {
        self.found_later = settled.found;
        self.in_flight = settled
            .in_flight
            .into_iter()
            .map(|it| it.obligation)
            .collect();
        self.unaccounted = settled.unaccounted;
    }

    /// An error where a person has to act.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let unrepaired = (self.unaccounted.len() as u64).saturating_sub(self.repaired);
        if self.unnamed > 0 {
            bail!(
                "too many events are missing to be named: was the ledger replaced? See `spillway replay`"
            );
        }
        match (unrepaired, self.damaged.len()) {
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
            self.in_flight.len(),
            self.unaccounted.len() as u64 + self.unnamed,
            self.damaged.len(),
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
            "unaccounted": events(&self.unaccounted),
            "unaccounted_unnamed": self.unnamed,
            "damaged": self.damaged,
            "rows_without_journal_entry": self.strays,
            "repaired": self.repaired,
        })
    }
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
