//! Forgets what is older than it has to be, a little at a time: letters before the rows that would recognise
//! their events.

use envelope::UnixMicros;
use ledger::{Books, Kind};
use ops::config::RetentionConfig;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two runs. What is kept for days may be kept for a minute more.
const EVERY: Duration = Duration::from_secs(60);

/// Rows in one statement: it holds their locks for some milliseconds.
const BATCH_MAX: u32 = 1_000;

/// After each batch a pause of nine times as long: a tenth of one connection's time at most, so that workers
/// lose no more than a tenth of theirs.
const PAUSE: u32 = 9;

/// Forgets until told to stop.
pub(super) async fn run<B: Books>(ledger: B, kept: RetentionConfig, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EVERY) => {}
        }
        // In this order: a letter that can be replayed never outlives the row that makes it a duplicate.
        for (kind, age) in [
            (Kind::Letters, kept.dead_letters),
            (Kind::Suspects, kept.dead_letters),
            (Kind::Processed, kept.processed),
        ] {
            tokio::select! {
                () = stop.cancelled() => return,
                () = forget(&ledger, kind, age) => {}
            }
        }
    }
}

async fn forget<B: Books>(ledger: &B, kind: Kind, age: Duration) {
    let older_than = SystemTime::now().checked_sub(age);
    let older_than = UnixMicros::from(older_than.unwrap_or(SystemTime::UNIX_EPOCH));
    let mut forgotten = 0;
    loop {
        let started = Instant::now();
        match ledger.forget(kind, older_than, BATCH_MAX).await {
            Ok(rows) => {
                forgotten += rows;
                if rows < u64::from(BATCH_MAX) {
                    break;
                }
            }
            Err(why) => return warn!("what is old could not be forgotten this time: {why}"),
        }
        sleep(started.elapsed() * PAUSE).await;
    }
    if forgotten > 0 {
        info!("forgot {forgotten} rows ({kind:?}) older than {age:?}");
    }
}
