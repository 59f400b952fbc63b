//! A worker's rate with ten million rows in `processed_webhooks`: at least 0.8 × that with none.

use super::{figure, per_second};
use crate::drain::{drain, fill};
use crate::lab::{Corner, Lab};
use crate::results::Row;
use anyhow::Result;

const SHARE_LEAST: f64 = 0.8;
/// Within what `spillway control` keeps.
const MONTH_DAYS: u32 = 20;

pub async fn measure(lab: &Lab) -> Result<Row> {
    let (events, rows) = lab.choose((300_000, 10_000_000), (20_000, 50_000));
    let empty = lab.corner(true).await?;
    let waiting = fill(&empty, events).await?;
    let before = Wal::of(&empty).await?;
    let without = drain(lab, &empty, waiting).await?.events_per_second;
    let wal_without = Wal::of(&empty).await?.since(&before, waiting);
    drop(empty);
    let grown = lab.corner(true).await?;
    grown.migrate().await?;
    grow(&grown, rows, MONTH_DAYS).await?;
    let waiting = fill(&grown, events).await?;
    let before = Wal::of(&grown).await?;
    let with = drain(lab, &grown, waiting).await?.events_per_second;
    let wal_with = Wal::of(&grown).await?.since(&before, waiting);
    Ok(Row {
        asked: format!("{SHARE_LEAST} × the rate with none"),
        reached: format!("{:.2} × ({})", with / without, per_second(with)),
        held: with / without >= SHARE_LEAST,
        figures: vec![
            figure("rows that were there", rows.to_string()),
            figure("events that were drained", events.to_string()),
            figure("with no rows", per_second(without)),
            figure("with them", per_second(with)),
            figure("written ahead for an event, with no rows", wal_without),
            figure("written ahead for an event, with them", wal_with),
        ],
    })
}

/// What the server has written ahead since it started.
struct Wal {
    whole_pages: f64,
    bytes: f64,
}

impl Wal {
    async fn of(corner: &Corner) -> Result<Self> {
        let client = corner.database.connect().await?;
        let sql = "SELECT wal_fpi::float8, wal_bytes::float8 FROM pg_stat_wal";
        let row = client.query_one(sql, &[]).await?;
        Ok(Self {
            whole_pages: row.get(0),
            bytes: row.get(1),
        })
    }

    fn since(&self, before: &Self, events: u64) -> String {
        let an_event = |now: f64, before: f64| (now - before) / events as f64;
        format!(
            "{:.0} bytes, {:.2} whole pages",
            an_event(self.bytes, before.bytes),
            an_event(self.whole_pages, before.whole_pages)
        )
    }
}

/// Rows from so many days ago on: keys all over the index, times one after the other.
pub async fn grow(corner: &Corner, rows: u64, days: u32) -> Result<()> {
    let client = corner.database.connect().await?;
    let piece = 500_000.min(rows);
    for first in (0..rows).step_by(usize::try_from(piece)?) {
        let last = rows.min(first + piece);
        client
            .batch_execute(&format!(
                "INSERT INTO processed_webhooks (key, pipeline, source, event_id, body_sha256, payload, received_at, \
                     processed_at, attempt, worker) \
                 SELECT sha256(n::text::bytea), 'payments', 'default', 'old' || n, sha256(n::text::bytea), \
                     convert_to('{{\"id\":\"old' || n || '\",\"type\":\"payment.completed\",\"orderId\":\"order\",\"amount\":7,\"currency\":\"EUR\",\"status\":\"completed\"}}', 'UTF8'), \
                     t, t, 1, 'bench' \
                 FROM (SELECT n, now() - interval '{days} days' + n * interval '100 ms' AS t \
                     FROM generate_series({first}, {last} - 1) AS n) AS rows"
            ))
            .await?;
    }
    Ok(client
        .batch_execute("ANALYZE processed_webhooks; CHECKPOINT")
        .await?)
}
