//! The ledger of the simulation: what it promises, `crates/sim` relies on.

use crate::bench::{Bench, Letter};
use crate::conformance::promises;
use sim::broker::Latency;
use sim::ledger::{Database, SimLedger};
use std::sync::Arc;

struct Simulated(SimLedger);

async fn bench() -> Simulated {
    let database = Database::new(Arc::default(), Latency::None);
    Simulated(SimLedger::new(database, "w1", || {}))
}

impl Bench for Simulated {
    type Ledger = SimLedger;

    fn ledger(&self) -> &SimLedger {
        &self.0
    }

    async fn rows(&self, table: &str) -> i64 {
        let tables = self.0.database().tables();
        let rows = match table {
            "processed_webhooks" => tables.processed.len(),
            "payments" => tables.payments.len(),
            "orders" => tables.orders.len(),
            "dead_letters" => tables.letters.len(),
            "suspects" => tables.suspects.len(),
            other => panic!("there is no table {other}"),
        };
        rows.try_into().unwrap()
    }

    async fn applied_events(&self) -> i64 {
        let tables = self.0.database().tables();
        tables.orders.values().map(|it| it.applied_events).sum()
    }

    async fn order(&self) -> (String, i64, i64) {
        let tables = self.0.database().tables();
        let order = tables.orders.values().next().unwrap();
        (
            order.status.clone(),
            order.applied_events,
            order.amount_total,
        )
    }

    async fn payload(&self, event_id: &str) -> Vec<u8> {
        let tables = self.0.database().tables();
        let mut rows = tables.processed.values();
        let row = rows.find(|row| row.event_id.as_str() == event_id);
        row.unwrap().payload.to_vec()
    }

    async fn letter(&self) -> Letter {
        let tables = self.0.database().tables();
        let letters = tables.letters.values();
        let (letter, state) = letters.max_by_key(|(letter, _)| letter.replays).unwrap();
        Letter {
            replays: letter.replays.into(),
            state: state.clone(),
            error: letter.error.clone(),
            payload: letter.payload.to_vec(),
        }
    }

    async fn set_state(&self, event_id: &str, state: &str) {
        let mut tables = self.0.database().tables();
        let mut letters = tables.letters.values_mut();
        let its = |letter: &ledger::DeadLetter| {
            let id = letter.event_id.as_ref();
            id.is_some_and(|id| id.as_str() == event_id)
        };
        let (_, old) = letters.find(|(letter, _)| its(letter)).unwrap();
        state.clone_into(old);
    }
}

promises!(bench);
