//! What an operator, or a full machine, does to the broker.

use crate::site::Site;
use anyhow::Result;
use std::time::Duration;
use tokio::time::sleep;

pub(super) async fn memory_alarm(site: &Site, lasting: Duration) -> Result<()> {
    let mut broker = site.broker.lock().await;
    let broker = broker.one()?;
    broker
        .ctl(&["set_vm_memory_high_watermark", "0.000001"])
        .await?;
    sleep(lasting).await;
    let healed = broker.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    healed.map(drop)
}

pub(super) async fn disk_alarm(site: &Site, lasting: Duration) -> Result<()> {
    let mut broker = site.broker.lock().await;
    let broker = broker.one()?;
    broker.ctl(&["set_disk_free_limit", "100000GB"]).await?;
    sleep(lasting).await;
    broker.ctl(&["set_disk_free_limit", "50MB"]).await.map(drop)
}

pub(super) async fn close_connections(site: &Site) -> Result<()> {
    let mut broker = site.broker.lock().await;
    let broker = broker.one()?;
    let close = ["close_all_connections", "--global", "chaos"];
    broker.ctl(&close).await.map(drop)
}

pub(super) async fn kill_leader(site: &Site, lasting: Duration) -> Result<()> {
    site.broker.lock().await.kill_the_leader(lasting).await
}

pub(super) async fn restart_app(site: &Site, lasting: Duration) -> Result<()> {
    let mut broker = site.broker.lock().await;
    let broker = broker.one()?;
    broker.ctl(&["stop_app"]).await?;
    sleep(lasting).await;
    broker.ctl(&["start_app"]).await.map(drop)
}
