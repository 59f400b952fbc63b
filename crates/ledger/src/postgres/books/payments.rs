//! What events have paid.

use super::super::transaction::column;
use super::{PostgresLedger, read};
use crate::books::{EventName, PaidEvent, PaymentRow};
use resilience::Fault;
use tokio_postgres::Row;

const EFFECTS: &str = "\
    SELECT (SELECT count(*) FROM payments AS p WHERE p.source = t.source AND p.event_id = t.event_id) \
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t(source, event_id, place) ORDER BY t.place";

/// A hundred payments of one event say what there is to say.
const PAYMENTS: &str = "\
    SELECT t.place, p.order_id, p.amount, p.currency, p.status, p.created_at \
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t(source, event_id, place) \
    CROSS JOIN LATERAL (SELECT * FROM payments WHERE source = t.source AND event_id = t.event_id \
        ORDER BY created_at LIMIT 100) AS p \
    ORDER BY t.place, p.created_at";

/// Grouped in the order of the index, so that it stops at the limit, and no event is cut in two by it.
const PAID_EVENTS: &str = "\
    SELECT source, event_id, count(*), max(created_at) FROM payments \
    WHERE (source, event_id) > ($1, $2) \
    GROUP BY source, event_id ORDER BY source, event_id LIMIT $3";

pub(super) async fn effects(
    ledger: &PostgresLedger,
    events: &[EventName],
) -> Result<Vec<u32>, Fault> {
    let (sources, ids) = names(events);
    let rows = ledger.ask(EFFECTS, &[&sources, &ids]).await?;
    rows.iter().map(|row| read::small(row, 0)).collect()
}

pub(super) async fn of(
    ledger: &PostgresLedger,
    events: &[EventName],
) -> Result<Vec<Vec<PaymentRow>>, Fault> {
    let (sources, ids) = names(events);
    let rows = ledger.ask(PAYMENTS, &[&sources, &ids]).await?;
    let mut payments = vec![Vec::new(); events.len()];
    for row in &rows {
        // Places count from one.
        let place: i64 = row.get(0);
        let of_event = usize::try_from(place - 1)
            .ok()
            .and_then(|at| payments.get_mut(at));
        of_event
            .ok_or_else(|| read::odd(row, 0))?
            .push(payment(row));
    }
    Ok(payments)
}

pub(super) async fn paid_events(
    ledger: &PostgresLedger,
    after: Option<&EventName>,
    limit: u32,
) -> Result<Vec<PaidEvent>, Fault> {
    // The empty text comes before every name.
    let (source, id) = after.map_or(("", ""), |(source, id)| (source.as_str(), id.as_str()));
    let rows = ledger
        .ask(PAID_EVENTS, &[&source, &id, &i64::from(limit)])
        .await?;
    rows.iter().map(paid).collect()
}

fn names(events: &[EventName]) -> (Vec<&str>, Vec<&str>) {
    let sources = column(events, |(source, _)| source.as_str());
    let ids = column(events, |(_, event_id)| event_id.as_str());
    (sources, ids)
}

fn payment(row: &Row) -> PaymentRow {
    PaymentRow {
        order_id: row.get(1),
        amount: row.get(2),
        currency: row.get(3),
        status: row.get(4),
        created_at: read::moment(row, 5),
    }
}

fn paid(row: &Row) -> Result<PaidEvent, Fault> {
    Ok(PaidEvent {
        event: (read::parsed(row, 0)?, read::parsed(row, 1)?),
        payments: read::small(row, 2)?,
        last_at: read::moment(row, 3),
    })
}
