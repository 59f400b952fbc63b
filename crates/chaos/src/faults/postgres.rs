//! A database that is there and refuses, and one that is cut off.

use crate::site::Site;
use anyhow::Result;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Our programs' sessions, and nobody else's.
const END_OURS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE application_name LIKE 'spillway-%' AND pid <> pg_backend_pid()";
/// Often enough to hit sessions in the middle of a transaction.
const BETWEEN_ENDS: Duration = Duration::from_millis(200);

pub(super) async fn end_sessions(site: &Site, lasting: Duration) -> Result<()> {
    let _held = site.postgres.lock().await;
    let operator = site.operator().await?;
    let until = Instant::now() + lasting;
    loop {
        operator.batch_execute(END_OURS).await?;
        if Instant::now() >= until {
            return Ok(());
        }
        sleep(BETWEEN_ENDS).await;
    }
}

pub(super) async fn read_only(site: &Site, lasting: Duration) -> Result<()> {
    let _held = site.postgres.lock().await;
    let operator = site.operator().await?;
    let on = "ALTER SYSTEM SET default_transaction_read_only = on";
    operator.batch_execute(on).await?;
    operator.batch_execute("SELECT pg_reload_conf()").await?;
    sleep(lasting).await;
    let writing = "SET default_transaction_read_only = off";
    operator.batch_execute(writing).await?;
    let off = "ALTER SYSTEM RESET default_transaction_read_only";
    operator.batch_execute(off).await?;
    operator
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .map_err(Into::into)
}

pub(super) async fn lock_table(site: &Site, lasting: Duration) -> Result<()> {
    let _held = site.postgres.lock().await;
    let operator = site.operator().await?;
    let lock = "BEGIN; LOCK TABLE processed_webhooks IN ACCESS EXCLUSIVE MODE";
    operator.batch_execute(lock).await?;
    sleep(lasting).await;
    operator.batch_execute("COMMIT").await.map_err(Into::into)
}

pub(super) async fn stop(site: &Site, lasting: Duration) -> Result<()> {
    let mut postgres = site.postgres.lock().await;
    postgres.stop_immediately().await?;
    sleep(lasting).await;
    postgres.restart().await
}
