//! Getting at a ledger that may be away when we start.

use ledger::{LedgerSettings, PostgresLedger, StartError};
use resilience::Backoff;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Connects to Postgres and brings its schema up to this program's, waiting for as long as it is away;
/// nothing when told to stop before that.
///
/// # Errors
/// Where waiting would not help: a URL that cannot be used, a schema newer than this program.
pub async fn postgres(
    url: &str,
    settings: LedgerSettings,
    stop: &CancellationToken,
) -> Result<Option<PostgresLedger>, StartError> {
    let ledger = PostgresLedger::connect(url, settings).await?;
    let mut failures = 0;
    loop {
        match ledger.migrate().await {
            Ok(()) => {
                info!("the ledger's schema is up to date");
                return Ok(Some(ledger));
            }
            Err(StartError::Away(why)) => warn!("waiting for the ledger: {why}"),
            Err(
                hopeless @ (StartError::Url(_)
                | StartError::RecallUrl(_)
                | StartError::Schema(_)
                | StartError::Unusable(_)),
            ) => return Err(hopeless),
        }
        tokio::select! {
            () = sleep(Backoff::RECONNECT.wait(failures, fastrand::f64())) => failures += 1,
            () = stop.cancelled() => return Ok(None),
        }
    }
}
