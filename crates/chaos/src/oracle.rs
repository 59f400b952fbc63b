//! Jepsen's questions, asked of what the sender knows and what the ledger holds.

use crate::account::{Account, Kind};
use crate::books::Books;
use crate::site::Reconciled;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use testkit::wait_within;

/// Everything that must be empty, and a little that need not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Accepted, and neither applied nor where poison belongs.
    pub lost: Vec<String>,
    /// Applied more than once.
    pub double: Vec<String>,
    /// Applied or dead, and never sent.
    pub unexpected: Vec<String>,
    /// Healthy, and a dead letter.
    pub condemned: Vec<String>,
    /// Orders whose count or sum is not that of their payments.
    pub crooked: Vec<String>,
    /// Answers that are neither 200, 202 nor 503.
    pub surprising: Vec<String>,
    /// Lost or doubled by one account and not by the other, of the oracle and `spillway reconcile`.
    pub disagreed: Vec<String>,
    /// Not accepted, as far as the sender knows, and applied: allowed.
    pub recovered: usize,
}

impl Findings {
    pub fn are_clean(&self) -> bool {
        let Self {
            lost,
            double,
            unexpected,
            condemned,
            crooked,
            surprising,
            disagreed,
            recovered: _,
        } = self;
        let lists = [
            lost, double, unexpected, condemned, crooked, surprising, disagreed,
        ];
        lists.iter().all(|list| list.is_empty())
    }
}

/// What the ledger holds.
#[derive(Debug, Default)]
pub struct Holdings {
    /// How often each event was applied.
    pub payments: BTreeMap<String, usize>,
    /// The reason of each dead letter.
    pub dead: BTreeMap<String, String>,
    pub crooked: Vec<String>,
}

/// Orders that do not add up: the upsert and the appended rows are written together or not at all.
const CROOKED: &str = "SELECT order_id FROM orders FULL JOIN \
    (SELECT order_id, count(*) AS times, sum(amount) AS total FROM payments GROUP BY order_id) AS p \
    USING (order_id) \
    WHERE applied_events IS DISTINCT FROM times OR amount_total IS DISTINCT FROM total";

impl Holdings {
    pub async fn read(books: &Books) -> Self {
        let crooked = books.query(CROOKED).await.expect("the ledger answers");
        Self {
            payments: books.payments().await,
            dead: books.dead().await,
            crooked: crooked.into_iter().flatten().collect(),
        }
    }
}

pub fn judge(account: &Account, holdings: &Holdings) -> Findings {
    let mut findings = Findings {
        crooked: holdings.crooked.clone(),
        surprising: account.surprising.clone(),
        ..Findings::default()
    };
    for (number, event) in account.events.iter().enumerate() {
        let id = account.id(number);
        let (times, dead) = (holdings.payments.get(&id), holdings.dead.get(&id));
        let there = match event.kind {
            Kind::Payment => times.is_some(),
            Kind::Poison => dead.is_some(),
        };
        if event.accepted && !there {
            findings.lost.push(id.clone());
        }
        if !event.accepted && there {
            findings.recovered += 1;
        }
        match (event.kind, dead) {
            (Kind::Payment, Some(reason)) => findings.condemned.push(format!("{id}: {reason}")),
            (Kind::Payment, None) | (Kind::Poison, _) => {}
        }
    }
    findings.count_what_is_there(account, holdings);
    findings
}

impl Findings {
    /// What `spillway reconcile` names has to be what the sender misses, and what was paid twice, event for
    /// event. It may miss more: the journal took events that were never confirmed to anybody.
    pub fn compare(&mut self, account: &Account, holdings: &Holdings, reconciled: &Reconciled) {
        let is_accepted = |id: &&String| {
            let number = account.number(id);
            number.is_some_and(|at| account.events[at].accepted)
        };
        let missed: BTreeSet<&String> = reconciled.unaccounted.iter().filter(is_accepted).collect();
        let lost: BTreeSet<&String> = self.lost.iter().collect();
        let twice = holdings.payments.iter().filter(|(_, times)| **times > 1);
        let twice: BTreeSet<&String> = twice.map(|(id, _)| id).collect();
        let damaged: BTreeSet<&String> = reconciled.damaged.iter().collect();
        let disagreed = missed.symmetric_difference(&lost);
        let disagreed = disagreed.chain(damaged.symmetric_difference(&twice));
        self.disagreed = disagreed.map(|id| (*id).clone()).collect();
    }

    fn count_what_is_there(&mut self, account: &Account, holdings: &Holdings) {
        for (id, times) in &holdings.payments {
            if *times > 1 {
                self.double.push(format!("{id}: {times} times"));
            }
            let kind = account.number(id).map(|at| account.events[at].kind);
            if kind != Some(Kind::Payment) {
                self.unexpected.push(id.clone());
            }
        }
        let unknown = holdings
            .dead
            .keys()
            .filter(|id| account.number(id).is_none());
        self.unexpected.extend(unknown.cloned());
    }
}

/// Crosses off `of` what has been applied by now; true once nothing of it is left.
pub async fn cross_off(books: &Books, of: &mut BTreeSet<String>) -> bool {
    for chunk in of.iter().cloned().collect::<Vec<_>>().chunks(CHUNK) {
        let list = chunk.join("','");
        let ask = format!(
            "SELECT event_id FROM payments WHERE source = 'default' AND event_id IN ('{list}')"
        );
        let Some(rows) = books.query(&ask).await else {
            return false;
        };
        if rows.is_empty() {
            // The oldest of them are not there yet: no need to ask for the rest.
            return false;
        }
        for id in rows.into_iter().flatten() {
            of.remove(&id);
        }
    }
    of.is_empty()
}

/// Short enough for one statement, long enough for an outage's backlog.
const CHUNK: usize = 1000;

/// Waits until every poison event that was accepted is a dead letter. What is missing then is found as lost.
pub async fn wait_for_letters(books: &Books, account: &Account, within: Duration) {
    let poison = account.events.iter().enumerate();
    let owed: Vec<String> = poison
        .filter(|(_, event)| event.accepted && event.kind == Kind::Poison)
        .map(|(number, _)| account.id(number))
        .collect();
    let archived = wait_within(within, async || {
        let dead = books.dead().await;
        owed.iter().all(|id| dead.contains_key(id))
    });
    archived.await;
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("lost", &self.lost),
            ("double", &self.double),
            ("unexpected", &self.unexpected),
            ("condemned", &self.condemned),
            ("crooked orders", &self.crooked),
            ("surprising answers", &self.surprising),
            ("otherwise in reconcile", &self.disagreed),
        ];
        for (name, list) in lists {
            let some: Vec<_> = list.iter().take(SHOWN).map(String::as_str).collect();
            writeln!(out, "  {name}: {} {}", list.len(), some.join(", "))?;
        }
        write!(out, "  recovered: {} (allowed)", self.recovered)
    }
}

/// The first of them are enough to look for in the logs.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;

    /// Two payments and a poison event, all accepted; one payment that was refused.
    fn account() -> Account {
        let mut account = Account::new("s1", 1);
        let kinds = [Kind::Payment, Kind::Payment, Kind::Poison, Kind::Payment];
        for (number, kind) in kinds.into_iter().enumerate() {
            account.open(kind);
            let refused = number == 3;
            let status = if refused { 503 } else { 200 };
            account.note(number, 0, Ok(StatusCode::from_u16(status).unwrap()));
        }
        account
    }

    fn holdings(payments: &[(&str, usize)], dead: &[&str]) -> Holdings {
        Holdings {
            payments: payments
                .iter()
                .map(|(id, n)| ((*id).to_owned(), *n))
                .collect(),
            dead: dead
                .iter()
                .map(|id| ((*id).to_owned(), "why".to_owned()))
                .collect(),
            crooked: Vec::new(),
        }
    }

    fn judged(payments: &[(&str, usize)], dead: &[&str]) -> Findings {
        judge(&account(), &holdings(payments, dead))
    }

    #[test]
    fn a_clean_run_is_clean_and_says_what_was_recovered() {
        let clean = judged(&[("s1_0", 1), ("s1_1", 1), ("s1_3", 1)], &["s1_2"]);
        assert!(clean.are_clean(), "{clean}");
        assert_eq!(clean.recovered, 1);
    }

    #[test]
    fn each_mistake_is_found_and_named() {
        let all = ("s1_1", 1);
        assert_eq!(judged(&[all], &["s1_2"]).lost, ["s1_0"]);
        assert_eq!(judged(&[("s1_0", 1), all], &[]).lost, ["s1_2"]);
        assert_eq!(
            judged(&[("s1_0", 2), all], &["s1_2"]).double,
            ["s1_0: 2 times"]
        );
        assert_eq!(judged(&[("s9_0", 1)], &[]).unexpected, ["s9_0"]);
        assert_eq!(judged(&[("s1_2", 1)], &[]).unexpected, ["s1_2"]);
        assert_eq!(judged(&[], &["other"]).unexpected, ["other"]);
        let condemned = judged(&[("s1_0", 1), all], &["s1_0", "s1_2"]).condemned;
        assert_eq!(condemned, ["s1_0: why"]);
    }
    #[test]
    fn reconcile_has_to_say_the_same() {
        let account = account();
        let holdings = holdings(&[("s1_0", 2)], &["s1_2"]);
        let said = |unaccounted: &[&str], damaged: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|id| (*id).to_owned()).collect();
            let reconciled = Reconciled {
                unaccounted: names(unaccounted),
                damaged: names(damaged),
            };
            let mut findings = judge(&account, &holdings);
            findings.compare(&account, &holdings, &reconciled);
            findings.disagreed
        };
        assert!(said(&["s1_1"], &["s1_0"]).is_empty());
        // Nobody was told that s1_3 is accepted.
        assert!(said(&["s1_1", "s1_3"], &["s1_0"]).is_empty());
        assert_eq!(said(&[], &["s1_0"]), ["s1_1"]);
        assert_eq!(said(&["s1_1"], &[]), ["s1_0"]);
        assert_eq!(said(&["s1_1"], &["s1_0", "s1_2"]), ["s1_2"]);
    }
}
