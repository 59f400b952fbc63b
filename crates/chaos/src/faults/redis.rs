//! Redis, which may do anything at any time (I4).

use crate::site::Site;
use anyhow::Result;
use std::time::Duration;
use tokio::time::sleep;

pub(super) async fn flush(site: &Site) -> Result<()> {
    site.redis.lock().await.command("FLUSHALL").await.map(drop)
}

pub(super) async fn pause(site: &Site, lasting: Duration) -> Result<()> {
    let redis = site.redis.lock().await;
    let pause = format!("CLIENT PAUSE {} ALL", lasting.as_millis());
    redis.command(&pause).await?;
    // It ends by itself.
    sleep(lasting).await;
    Ok(())
}
