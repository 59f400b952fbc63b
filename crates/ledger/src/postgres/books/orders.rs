//! What has been folded into orders.

use super::{PostgresLedger, read};
use crate::books::OrderTotals;
use resilience::Fault;
use tokio_postgres::Row;

const TOTALS: &str = "\
    SELECT order_id, applied_events, amount_total FROM orders \
    WHERE order_id > $1 ORDER BY order_id LIMIT $2";

pub(super) async fn totals(
    ledger: &PostgresLedger,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<OrderTotals>, Fault> {
    // The empty text comes before every id.
    let after = after.unwrap_or_default();
    let rows = ledger.ask(TOTALS, &[&after, &i64::from(limit)]).await?;
    Ok(rows.iter().map(order).collect())
}

fn order(row: &Row) -> OrderTotals {
    OrderTotals {
        order_id: row.get(0),
        applied_events: read::count(row, 1),
        amount_total: read::count(row, 2),
    }
}
