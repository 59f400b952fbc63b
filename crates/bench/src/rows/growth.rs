//! A worker's rate with ten million rows in `processed_webhooks`: at least 0.8 × that with none, in turn with it.

use super::{figure, per_second};
use crate::contender::median;
use crate::drain::{drain, fill};
use crate::lab::{Corner, Lab};
use crate::results::Row;
use anyhow::Result;

const SHARE_LEAST: f64 = 0.8;
/// Within what `spillway control` keeps.
const MONTH_DAYS: u32 = 20;

pub async fn measure(lab: &Lab) -> Result<Row> {
    let (events, rows, rounds) = lab.choose((200_000, 10_000_000, 5), (20_000, 50_000, 1));
    let grown = lab.corner(true).await?;
    grown.migrate().await?;
    grow(&grown, rows, MONTH_DAYS).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        let empty = lab.corner(true).await?;
        let (none, many) = (
            Round::of(lab, &empty, events).await?,
            Round::of(lab, &grown, events).await?,
        );
        println!(
            "  round {number}: {:.0}/s, with rows {:.0}/s",
            none.rate, many.rate
        );
        without.push(none);
        with.push(many);
    }
    let rate = |rounds: &[Round]| median(rounds, |round| round.rate);
    let share = rate(&with) / rate(&without);
    Ok(Row {
        asked: format!("{SHARE_LEAST} × the rate with none"),
        reached: format!("{share:.2} × ({})", per_second(rate(&with))),
        held: share >= SHARE_LEAST,
        figures: vec![
            figure("rows that were there", rows.to_string()),
            figure("events that were drained in each round", events.to_string()),
            figure("with no rows", rates(&without)),
            figure("with them", rates(&with)),
            figure("written ahead for an event, with no rows", wal(&without)),
            figure("written ahead for an event, with them", wal(&with)),
        ],
    })
}

fn rates(rounds: &[Round]) -> String {
    let rates: Vec<_> = rounds.iter().map(|round| per_second(round.rate)).collect();
    rates.join(", ")
}

fn wal(rounds: &[Round]) -> String {
    let bytes = median(rounds, |round| round.wal_bytes);
    let pages = median(rounds, |round| round.whole_pages);
    format!("{bytes:.0} bytes, {pages:.2} whole pages")
}

/// One backlog, drained.
struct Round {
    rate: f64,
    /// Written ahead for each event.
    whole_pages: f64,
    wal_bytes: f64,
}

impl Round {
    async fn of(lab: &Lab, corner: &Corner, events: u64) -> Result<Self> {
        let waiting = fill(corner, events).await?;
        let before = Wal::of(corner).await?;
        let drained = drain(lab, corner, waiting).await?;
        let after = Wal::of(corner).await?;
        let an_event = |now: f64, before: f64| (now - before) / waiting as f64;
        Ok(Self {
            rate: drained.events_per_second,
            whole_pages: an_event(after.whole_pages, before.whole_pages),
            wal_bytes: an_event(after.bytes, before.bytes),
        })
    }
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
}

/// Rows from so many days ago on: keys all over the index, times one after the other. Vacuumed, as a table is that has
/// grown for so long.
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
    for settling in ["VACUUM (FREEZE, ANALYZE) processed_webhooks", "CHECKPOINT"] {
        client.batch_execute(settling).await?;
    }
    Ok(())
}
