//! Where an event is stored: on the broker, or in the spool while the broker does not take it.

use crate::Door;
use crate::refused::Refused;
use broker::{Confirmed, Destination, KeepError, PublishError, Spool, Spooled};
use envelope::Envelope;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Kept back of the answer's time where there is a spool. Its group commit takes some 10 ms, and a disk that
/// is busy several times that; the broker confirms in a tenth of what is left to it.
const SPOOL_RESERVE: Duration = Duration::from_millis(150);

/// The proof that an event is stored, by where it is.
#[derive(Debug)]
pub enum Stored {
    /// On the broker.
    Queued(Confirmed),
    /// In the spool.
    Spooled(Spooled),
}

impl Door {
    /// Stores an event whose last byte has just come; nothing where the answer is a refusal.
    #[doc(hidden)]
    pub async fn store_now(&self, envelope: Envelope) -> Option<Stored> {
        self.store(envelope, Instant::now()).await.ok()
    }

    /// Stores an event by the time the answer is due: on the broker always where it takes it, even while the
    /// spool drains, so that an outage delays only what came in it.
    pub(crate) async fn store(
        &self,
        envelope: Envelope,
        last_byte_at: Instant,
    ) -> Result<Stored, Refused> {
        let due = last_byte_at + self.bounds.answer_deadline;
        let Some(spool) = &self.spool else {
            return Ok(Stored::Queued(self.publish(envelope, due).await?));
        };
        match self.publish(envelope.clone(), due - SPOOL_RESERVE).await {
            Ok(confirmed) => Ok(Stored::Queued(confirmed)),
            Err(why) if is_for_the_spool(why) => {
                Ok(Stored::Spooled(keep(spool, envelope, due).await?))
            }
            Err(why) => Err(why.into()),
        }
    }

    /// Waits for the confirm. What is not confirmed by then may be stored all the same: the sender's next
    /// try, or the spool's, is a duplicate, never a loss.
    async fn publish(&self, envelope: Envelope, due: Instant) -> Result<Confirmed, PublishError> {
        let started = Instant::now();
        failpoints::crash("ingest.before_publish");
        let publisher = &self.publisher;
        let verdict = publisher
            .publish_by(due, Destination::Events, envelope)
            .await;
        failpoints::crash("ingest.after_publish");
        self.events.published(&verdict, started.elapsed());
        verdict
    }
}

/// Waits for the fsync. As with the broker: what is not known to be kept may be.
async fn keep(spool: &Spool, envelope: Envelope, due: Instant) -> Result<Spooled, KeepError> {
    let kept = timeout(due - Instant::now(), spool.keep(envelope)).await;
    failpoints::crash("ingest.after_keep");
    kept.unwrap_or(Err(KeepError::Failed(PublishError::NoVerdict)))
}

/// Every refusal is, today: for a sender who never sends again a 503 is a loss, and what the spool costs is
/// at worst a duplicate, which the ledger finds. A new kind of refusal should be thought about here.
fn is_for_the_spool(why: PublishError) -> bool {
    match why {
        // Nobody is there, or nobody listens.
        PublishError::Away | PublishError::Blocked => true,
        // A queue has no leader, or none at all: only later can it be otherwise.
        PublishError::Refused | PublishError::Unroutable => true,
        // It may be on the broker as well.
        PublishError::NoVerdict => true,
        // The broker is slow and our channels are full: the drain comes back at a rate of its own.
        PublishError::Overloaded => true,
    }
}
