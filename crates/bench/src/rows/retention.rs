//! A worker's rate while `spillway control` deletes what is too old: at least 0.9 × that while it has nothing to delete.

use super::growth::grow;
use super::{figure, per_second};
use crate::drain::{drain, fill};
use crate::lab::{Corner, Lab};
use crate::results::Row;
use anyhow::{Context, Result};
use std::time::Duration;
use testkit::wait_within;

const SHARE_LEAST: f64 = 0.9;
/// Twice what is kept.
const LONG_AGO_DAYS: u32 = 60;
/// Control deletes once a minute.
const PATIENCE: Duration = Duration::from_secs(150);

pub async fn measure(lab: &Lab) -> Result<Row> {
    let (events, rows) = lab.choose((300_000, 2_000_000), (20_000, 500_000));
    let without = rate(lab, events, rows, LONG_AGO_DAYS / 3).await?;
    let with = rate(lab, events, rows, LONG_AGO_DAYS).await?;
    let share = with.events_per_second / without.events_per_second;
    Ok(Row {
        asked: format!("{SHARE_LEAST} × the rate while nothing is deleted"),
        reached: format!("{share:.2} × ({})", per_second(with.events_per_second)),
        held: share >= SHARE_LEAST && with.deleted > 0,
        figures: vec![
            figure("rows that were there", rows.to_string()),
            figure("events that were drained", events.to_string()),
            figure(
                "while nothing is deleted",
                per_second(without.events_per_second),
            ),
            figure("while rows are deleted", per_second(with.events_per_second)),
            figure("rows deleted meanwhile", with.deleted.to_string()),
        ],
    })
}

struct Drain {
    events_per_second: f64,
    deleted: u64,
}

/// Drains a backlog beside a control server, on a table whose rows are so many days old. Where they are too old, it
/// begins once control is at them.
async fn rate(lab: &Lab, events: u64, rows: u64, days: u32) -> Result<Drain> {
    let corner = lab.corner(true).await?;
    corner.migrate().await?;
    grow(&corner, rows, days).await?;
    let waiting = fill(&corner, events).await?;
    let control = corner.control().await?;
    if days >= LONG_AGO_DAYS {
        let begun = wait_within(PATIENCE, async || {
            old(&corner).await.is_ok_and(|left| left < rows)
        });
        begun.await.context("control has deleted nothing")?;
    }
    let before = old(&corner).await?;
    let drained = drain(lab, &corner, waiting).await?;
    let deleted = before - old(&corner).await?;
    control.stop().await?;
    Ok(Drain {
        events_per_second: drained.events_per_second,
        deleted,
    })
}

async fn old(corner: &Corner) -> Result<u64> {
    let client = corner.database.connect().await?;
    let count = "SELECT count(*) FROM processed_webhooks WHERE worker = 'bench'";
    let count: i64 = client.query_one(count, &[]).await?.get(0);
    Ok(u64::try_from(count)?)
}
