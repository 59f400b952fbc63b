//! A ledger, and a way to look behind its back.

use ledger::Ledger;
use std::future::Future;

/// What the suite asks of the rows.
pub trait Bench: Send + Sync {
    type Ledger: Ledger;

    fn ledger(&self) -> &Self::Ledger;

    /// How many rows a table has.
    fn rows(&self, table: &str) -> impl Future<Output = i64> + Send;

    /// The applied events of all orders.
    fn applied_events(&self) -> impl Future<Output = i64> + Send;

    /// Status, applied events and total of the only order.
    fn order(&self) -> impl Future<Output = (String, i64, i64)> + Send;

    /// The body under which an event was applied.
    fn payload(&self, event_id: &str) -> impl Future<Output = Vec<u8>> + Send;

    /// The letter with the most replays.
    fn letter(&self) -> impl Future<Output = Letter> + Send;

    /// Changes what has become of an event's only letter.
    fn set_state(&self, event_id: &str, state: &str) -> impl Future<Output = ()> + Send;
}

/// A dead letter, as far as the suite asks.
#[derive(Debug, PartialEq, Eq)]
pub struct Letter {
    pub replays: i64,
    pub state: String,
    pub error: String,
    pub payload: Vec<u8>,
}

/// A bench that is asked in SQL, of the kind both databases understand.
pub trait Sql: Send + Sync {
    type Ledger: Ledger;

    fn ledger(&self) -> &Self::Ledger;
    fn number(&self, sql: &str) -> impl Future<Output = i64> + Send;
    fn text(&self, sql: &str) -> impl Future<Output = String> + Send;
    fn bytes(&self, sql: &str) -> impl Future<Output = Vec<u8>> + Send;
}

impl<S: Sql> Bench for S {
    type Ledger = S::Ledger;

    fn ledger(&self) -> &S::Ledger {
        Sql::ledger(self)
    }

    async fn rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    async fn applied_events(&self) -> i64 {
        self.number("SELECT CAST(sum(applied_events) AS bigint) FROM orders")
            .await
    }

    async fn order(&self) -> (String, i64, i64) {
        let status = self.text("SELECT status FROM orders").await;
        let applied_events = self.number("SELECT applied_events FROM orders").await;
        let amount_total = self.number("SELECT amount_total FROM orders").await;
        (status, applied_events, amount_total)
    }

    async fn payload(&self, event_id: &str) -> Vec<u8> {
        let sql = format!("SELECT payload FROM processed_webhooks WHERE event_id = '{event_id}'");
        self.bytes(&sql).await
    }

    async fn letter(&self) -> Letter {
        let most = |what| format!("SELECT {what} FROM dead_letters ORDER BY replays DESC LIMIT 1");
        Letter {
            replays: self.number(&most("replays")).await,
            state: self.text(&most("state")).await,
            error: self.text(&most("error")).await,
            payload: self.bytes(&most("payload")).await,
        }
    }

    async fn set_state(&self, event_id: &str, state: &str) {
        let sql = format!(
            "UPDATE dead_letters SET state = '{state}' WHERE event_id = '{event_id}' RETURNING 1"
        );
        assert_eq!(self.number(&sql).await, 1);
    }
}
