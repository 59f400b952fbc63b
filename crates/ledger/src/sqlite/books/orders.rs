//! What has been folded into orders.

use super::read;
use crate::books::OrderTotals;
use rusqlite::{Connection, Result, Row};

const TOTALS: &str = "\
    SELECT order_id, applied_events, amount_total FROM orders \
    WHERE order_id > ?1 ORDER BY order_id LIMIT ?2";

pub(super) fn totals(
    reader: &Connection,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<OrderTotals>> {
    // The empty text comes before every id.
    let after = after.unwrap_or_default();
    let mut statement = reader.prepare_cached(TOTALS)?;
    let orders = statement.query_map((after, limit), order)?;
    orders.collect()
}

fn order(row: &Row<'_>) -> Result<OrderTotals> {
    Ok(OrderTotals {
        order_id: row.get(0)?,
        applied_events: read::count(row, 1)?,
        amount_total: read::count(row, 2)?,
    })
}
