//! What events have paid.

use super::read;
use crate::books::{EventName, PaidEvent, PaymentRow};
use rusqlite::{Connection, Result, Row};

const EFFECTS: &str = "SELECT count(*) FROM payments WHERE source = ?1 AND event_id = ?2";

/// A hundred payments of one event say what there is to say.
const PAYMENTS: &str = "\
    SELECT order_id, amount, currency, status, created_at FROM payments \
    WHERE source = ?1 AND event_id = ?2 ORDER BY created_at, rowid LIMIT 100";

/// Grouped in the order of the index, so that it stops at the limit, and no event is cut in two by it.
const PAID_EVENTS: &str = "\
    SELECT source, event_id, count(*), max(created_at) FROM payments \
    WHERE (source, event_id) > (?1, ?2) \
    GROUP BY source, event_id ORDER BY source, event_id LIMIT ?3";

pub(super) fn effects(reader: &Connection, (source, id): &EventName) -> Result<u32> {
    let mut statement = reader.prepare_cached(EFFECTS)?;
    statement.query_row((source.as_str(), id.as_str()), |row| row.get(0))
}

pub(super) fn of(reader: &Connection, (source, id): &EventName) -> Result<Vec<PaymentRow>> {
    let mut statement = reader.prepare_cached(PAYMENTS)?;
    let payments = statement.query_map((source.as_str(), id.as_str()), payment)?;
    payments.collect()
}

pub(super) fn paid_events(
    reader: &Connection,
    after: Option<&EventName>,
    limit: u32,
) -> Result<Vec<PaidEvent>> {
    // The empty text comes before every name.
    let (source, id) = after.map_or(("", ""), |(source, id)| (source.as_str(), id.as_str()));
    let mut statement = reader.prepare_cached(PAID_EVENTS)?;
    let events = statement.query_map((source, id, limit), paid)?;
    events.collect()
}

fn payment(row: &Row<'_>) -> Result<PaymentRow> {
    Ok(PaymentRow {
        order_id: row.get(0)?,
        amount: row.get(1)?,
        currency: row.get(2)?,
        status: row.get(3)?,
        created_at: read::moment(row, 4)?,
    })
}

fn paid(row: &Row<'_>) -> Result<PaidEvent> {
    Ok(PaidEvent {
        event: (read::parsed(row, 0)?, read::parsed(row, 1)?),
        payments: row.get(2)?,
        last_at: read::moment(row, 3)?,
    })
}
