//! Compares what the sender knows with what the database holds, by id.
//!
//! First it waits until every accepted event has an ending: a row of `processed_webhooks`, or a dead letter. Then it
//! walks the payments of this run, all of them, in the order of their ids, and finds what is missing, what is there
//! twice and what should not be there; and last it asks the orders, which were written in the same transactions, for
//! the same sums. A thousand at a time, so that a million and a half need no more memory than their bits (I8).

use crate::answers::{Answers, Bits};
use crate::event::{Names, amount};
use crate::mix::{Kind, Mix};
use crate::outcome::Quantiles;
use envelope::{EventId, Key, PipelineName, SourceName};
use hdrhistogram::Histogram;
use ledger::{Account, Books, EventName, PaidEvent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// What is asked of the books.
#[derive(Debug)]
pub struct Audit<'a> {
    /// Who was sent for.
    pub source: &'a SourceName,
    /// Who takes the source's events: each makes one payment of each event.
    pub pipelines: &'a [PipelineName],
    /// What the run's events and orders are called.
    pub names: &'a Names,
    /// What they were.
    pub mix: &'a Mix,
    /// How many orders they were spread over.
    pub orders: u64,
    /// What the sender knows.
    pub answers: &'a Answers,
    /// When the last answer was there, in microseconds since 1970.
    pub ended_at: i64,
    /// How long to wait while nothing happens.
    pub patience: Duration,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Accepted, and neither applied nor a dead letter.
    pub lost: Listed,
    /// With more payments than there are pipelines.
    pub doubled: Listed,
    /// Applied, and never sent, or nothing that could be applied.
    pub unexpected: Listed,
    /// Orders whose count or sum is not that of their payments.
    pub crooked_orders: Listed,
    /// Events with a payment in every pipeline.
    pub applied: u64,
    /// Accepted events that are dead letters.
    pub dead: u64,
    /// Those of them that were no poison.
    pub condemned: u64,
    /// Applied although nobody was told that they were accepted: allowed.
    pub recovered: u64,
    /// From the last answer until the last accepted event was applied, by the database's clock.
    pub drained_seconds: f64,
    /// From receipt until the transaction that applied the event, by the database's clock.
    pub age_seconds: Quantiles,
    /// How long the audit took, waiting included.
    pub took_seconds: f64,
}

/// How many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// All of them.
    pub count: u64,
    /// The first twenty: enough to look for in the logs.
    pub first: Vec<String>,
}

const SHOWN: usize = 20;

/// How many at a time; the ledger takes no more at once.
const PAGE: usize = ledger::MOST_AT_ONCE;
/// Between two looks at what has no ending yet.
const POLL: Duration = Duration::from_millis(100);
/// Ages beyond are as old as this.
const AGE_MAX_MICROS: u64 = 7 * 24 * 3_600 * 1_000_000;

impl Listed {
    fn push(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(what());
        }
    }
}

/// The state of an audit.
struct Auditor<'a, B> {
    audit: &'a Audit<'a>,
    books: &'a B,
    findings: Findings,
    ages: Histogram<u64>,
    last_applied_at: i64,
    dead: Bits,
    paid: Bits,
    /// By order: how many payments, and their sum.
    orders: BTreeMap<u64, (u64, u64)>,
}

impl Audit<'_> {
    /// Waits until everything has an ending or nothing happens any more, and compares.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn run<B: Books>(&self, books: &B) -> anyhow::Result<Findings> {
        let started = Instant::now();
        let mut auditor = Auditor {
            audit: self,
            books,
            findings: Findings::default(),
            ages: Histogram::new_with_bounds(1, AGE_MAX_MICROS, 3)?,
            last_applied_at: self.ended_at,
            dead: Bits::default(),
            paid: Bits::default(),
            orders: BTreeMap::new(),
        };
        auditor.wait_for_endings().await?;
        auditor.walk_payments().await?;
        auditor.compare();
        auditor.ask_the_orders().await?;
        let mut findings = auditor.findings;
        findings.drained_seconds = (auditor.last_applied_at - self.ended_at) as f64 / 1e6;
        findings.age_seconds = Quantiles::of(&auditor.ages);
        findings.took_seconds = started.elapsed().as_secs_f64();
        Ok(findings)
    }

    fn key(&self, pipeline: &PipelineName, event: u64) -> anyhow::Result<Key> {
        let id: EventId = self.names.event(event).parse()?;
        Ok(Key::of(pipeline, self.source, &id))
    }
}

impl<B: Books> Auditor<'_, B> {
    /// Round and round over what has no ending yet, for as long as something happens.
    async fn wait_for_endings(&mut self) -> anyhow::Result<()> {
        let mut missing = self.audit.answers.accepted.clone();
        let mut happened = Instant::now();
        let mut next = 0;
        while !missing.is_empty() && happened.elapsed() < self.audit.patience {
            let page: Vec<u64> = missing.from(next).take(PAGE).collect();
            next = page.last().map_or(0, |last| last + 1);
            let before = missing.len();
            self.cross_off(&page, &mut missing).await?;
            if missing.len() < before {
                happened = Instant::now();
            } else if !page.is_empty() {
                sleep(POLL).await;
            }
        }
        // Each has been looked at, some of them a while ago: once more.
        let mut next = 0;
        loop {
            let page: Vec<u64> = missing.from(next).take(PAGE).collect();
            let Some(last) = page.last() else {
                return Ok(());
            };
            next = last + 1;
            self.cross_off(&page, &mut missing).await?;
        }
    }

    /// Takes those out of `missing` that have an ending in every pipeline.
    async fn cross_off(&mut self, page: &[u64], missing: &mut Bits) -> anyhow::Result<()> {
        let mut ended = vec![true; page.len()];
        for pipeline in self.audit.pipelines {
            let keys = page.iter().map(|event| self.audit.key(pipeline, *event));
            let keys: Vec<Key> = keys.collect::<anyhow::Result<_>>()?;
            let accounts = self.books.accounts(&keys).await?;
            for ((event, ended), account) in page.iter().zip(&mut ended).zip(&accounts) {
                *ended &= self.has_ended(*event, account);
            }
        }
        for (event, _) in page.iter().zip(ended).filter(|(_, ended)| *ended) {
            missing.remove(*event);
        }
        Ok(())
    }

    fn has_ended(&mut self, event: u64, account: &Account) -> bool {
        if let Some(row) = &account.applied {
            let age = row.processed_at.0.saturating_sub(row.received_at.0);
            self.ages.saturating_record(age.max(0).unsigned_abs());
            self.last_applied_at = self.last_applied_at.max(row.processed_at.0);
            return true;
        }
        if account.letter.is_some() {
            self.dead.insert(event);
        }
        account.letter.is_some()
    }

    /// All payments of this run's events, in the order of their ids.
    async fn walk_payments(&mut self) -> anyhow::Result<()> {
        let prefix = self.audit.names.events();
        let mut after: EventName = (self.audit.source.clone(), prefix.parse()?);
        loop {
            let page = self.books.paid_events(Some(&after), PAGE as u32).await?;
            let is_ours = |paid: &&PaidEvent| {
                let (source, id) = &paid.event;
                source == self.audit.source && id.as_str().starts_with(&prefix)
            };
            let ours: Vec<&PaidEvent> = page.iter().take_while(is_ours).collect();
            for paid in &ours {
                self.look_at(paid);
            }
            match ours.last() {
                Some(last) if ours.len() == PAGE => after = last.event.clone(),
                Some(_) | None => return Ok(()),
            }
        }
    }

    fn look_at(&mut self, paid: &PaidEvent) {
        let id = paid.event.1.as_str();
        let number = self.audit.names.number(id);
        let Some(event) = number.filter(|event| self.could_be_paid(*event)) else {
            return self.findings.unexpected.push(|| id.to_owned());
        };
        let (times, pipelines) = (u64::from(paid.payments), self.audit.pipelines.len() as u64);
        if times > pipelines {
            self.findings
                .doubled
                .push(|| format!("{id}: {times} times"));
        }
        if times >= pipelines {
            self.paid.insert(event);
        }
        let order = self.orders.entry(event % self.audit.orders).or_default();
        order.0 += times;
        order.1 += times * amount(event);
    }

    fn could_be_paid(&self, event: u64) -> bool {
        let is_payment = match self.audit.mix.kind(event) {
            Kind::Payment | Kind::Large => true,
            Kind::Poison | Kind::Forged => false,
        };
        is_payment && self.audit.answers.sent.contains(event)
    }

    fn compare(&mut self) {
        let Answers { accepted, .. } = self.audit.answers;
        for event in accepted.from(0) {
            if self.paid.contains(event) {
                continue;
            }
            if !self.dead.contains(event) {
                let names = self.audit.names;
                self.findings.lost.push(|| names.event(event));
                continue;
            }
            self.findings.dead += 1;
            self.findings.condemned += u64::from(self.audit.mix.kind(event) != Kind::Poison);
        }
        self.findings.applied = self.paid.len();
        let recovered = self.paid.from(0).filter(|event| !accepted.contains(*event));
        self.findings.recovered = recovered.count() as u64;
    }

    /// Orders are the second witness: written with the payments or not at all.
    async fn ask_the_orders(&mut self) -> anyhow::Result<()> {
        let prefix = self.audit.names.orders();
        let mut after = prefix.clone();
        loop {
            let page = self.books.order_totals(Some(&after), PAGE as u32).await?;
            let ours = page
                .iter()
                .take_while(|order| order.order_id.starts_with(&prefix));
            let mut seen = 0;
            for order in ours {
                let number: Option<u64> = order.order_id[prefix.len()..].parse().ok();
                let paid = number.and_then(|number| self.orders.remove(&number));
                if paid != Some((order.applied_events, order.amount_total)) {
                    let id = order.order_id.clone();
                    self.findings.crooked_orders.push(|| id);
                }
                seen += 1;
                after.clone_from(&order.order_id);
            }
            if seen < PAGE {
                break;
            }
        }
        // With payments, and not there.
        for (number, (payments, _)) in std::mem::take(&mut self.orders) {
            self.findings
                .crooked_orders
                .push(|| format!("{prefix}{number:06}: missing, with {payments} payments"));
        }
        Ok(())
    }
}
