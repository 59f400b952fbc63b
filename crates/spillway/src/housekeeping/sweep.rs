//! Marks letters whose event has been applied meanwhile, by a replay or by a later try of its sender.

use envelope::UnixMicros;
use ledger::Books;
use std::time::{Duration, SystemTime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two runs: lists are right without it, the gauge is a minute late.
const EVERY: Duration = Duration::from_secs(60);
const BATCH_MAX: u32 = 1_000;

/// Sweeps until told to stop.
pub(super) async fn run<B: Books>(ledger: B, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EVERY) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sweep(&ledger) => {}
        }
    }
}

async fn sweep<B: Books>(ledger: &B) {
    let (mut after, mut superseded) = (None, 0);
    loop {
        let now = UnixMicros::from(SystemTime::now());
        match ledger.supersede(after.as_ref(), BATCH_MAX, now).await {
            Ok(swept) => {
                superseded += swept.superseded;
                after = swept.next;
            }
            Err(why) => return warn!("the letters could not be swept this time: {why}"),
        }
        if after.is_none() {
            break;
        }
    }
    if superseded > 0 {
        info!("{superseded} dead letters are superseded: their events have been applied");
    }
}
