//! One batch, one transaction: dedupe rows, effects, COMMIT.

use super::SimLedger;
use super::tables::{Processed, Tables};
use super::transaction::SimTransaction;
use crate::books::Books;
use envelope::Key;
use ledger::{Candidate, Handler, OrderChange, Payment, Standing, Verdict};
use resilience::Fault;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn commit<H: Handler>(
    ledger: &SimLedger,
    handler: &H,
    batch: &[Candidate<H::Effect>],
) -> Result<Vec<Verdict>, Fault> {
    let turn = ledger.database.begin().await?;
    ledger.note("begins a transaction");
    let (rows, standings) = insert(&mut Undone::begin(ledger), batch);
    let mut transaction = SimTransaction {
        ledger,
        payments: Vec::new(),
        orders: Vec::new(),
        failed: None,
    };
    let leaders = leaders(batch, &standings);
    if !leaders.is_empty() {
        handler.apply(&mut transaction, &leaders).await?;
    }
    if let Some(fault) = transaction.failed {
        return Err(fault);
    }
    let written = Written {
        rows,
        payments: transaction.payments,
        orders: transaction.orders,
    };
    let books = ledger.database.books().clone();
    let change = move |tables: &mut Tables| written.apply(tables, &books);
    ledger.finish(turn, change).await?;
    ledger.note("knows that it is committed");
    let judged = batch.iter().zip(standings);
    Ok(judged
        .map(|(candidate, standing)| standing.after_commit(candidate.body_sha256))
        .collect())
}

/// The tables with the rows of an open transaction in them, which nobody else sees.
struct Undone<'a> {
    ledger: &'a SimLedger,
    inserted: Vec<Key>,
}

impl<'a> Undone<'a> {
    fn begin(ledger: &'a SimLedger) -> Self {
        Self {
            ledger,
            inserted: Vec::new(),
        }
    }

    fn insert(&mut self, key: Key, row: Processed) -> bool {
        let is_new = self.ledger.database.tables().insert(key, row);
        self.inserted.extend(is_new.then_some(key));
        is_new
    }
}

impl Drop for Undone<'_> {
    fn drop(&mut self) {
        let mut tables = self.ledger.database.tables();
        for key in self.inserted.drain(..) {
            tables.delete(key);
        }
    }
}

/// The rows to be, and how each candidate stands. As with Postgres, whatever has a key the insert returned
/// counts as inserted.
fn insert<E>(
    open: &mut Undone<'_>,
    batch: &[Candidate<E>],
) -> (Vec<(Key, Processed)>, Vec<Standing>) {
    let mut rows = Vec::new();
    for candidate in batch {
        let row = Processed::of(candidate);
        if open.insert(candidate.key, row.clone()) {
            rows.push((candidate.key, row));
        }
    }
    let returned: BTreeSet<Key> = open.inserted.iter().copied().collect();
    let tables = open.ledger.database.tables();
    let standing = |candidate: &Candidate<E>| match returned.contains(&candidate.key) {
        true => Standing::Inserted,
        false => tables.standing(candidate),
    };
    let standings = batch.iter().map(standing).collect();
    (rows, standings)
}

/// The handler's share: what this transaction inserted, nothing else.
fn leaders<'a, E>(batch: &'a [Candidate<E>], standings: &[Standing]) -> Vec<&'a Candidate<E>> {
    let judged = batch.iter().zip(standings);
    let inserted = judged.filter(|(_, standing)| **standing == Standing::Inserted);
    inserted.map(|(candidate, _)| candidate).collect()
}

/// What a COMMIT makes visible.
struct Written {
    rows: Vec<(Key, Processed)>,
    payments: Vec<Payment>,
    orders: Vec<OrderChange>,
}

impl Written {
    fn apply(self, tables: &mut Tables, books: &Arc<Books>) {
        for (key, row) in self.rows {
            books.applied(row.event_id.as_str(), &row.payload);
            tables.insert(key, row);
        }
        for payment in self.payments {
            let id = payment.event_id.clone();
            tables.payments.push(payment);
            books.effect(id.as_str(), tables.effects(&id));
        }
        self.orders
            .into_iter()
            .for_each(|change| tables.fold(change));
    }
}
