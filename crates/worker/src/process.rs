//! ★ One batch of deliveries on one screen.

use crate::collapse::collapse;
use crate::disposition::Settlement;
use crate::intake::Work;
use crate::run::Worker;
use crate::suspects::apart;
use broker::Delivery;
use ledger::{Handler, Ledger};
use tokio_util::sync::CancellationToken;

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// Brings every delivery of a batch to its one ending (I3).
    ///
    /// Cancelling `stop` ends the waiting for a database that is away; what is in hand is then released.
    pub(crate) async fn process(&self, batch: Vec<Delivery>, stop: &CancellationToken) {
        self.events.batch(batch.len());

        // Events that were in hand when workers died come last and alone: should one of them be why, it
        // takes nobody along (I6).
        let (batch, suspects) = apart(batch);

        // What nobody can read is dead at once; the rest becomes work.
        let work: Vec<Work<H::Effect>> = self.intake(batch).await;

        // Copies within the batch share one leader, so that the handler runs once for all of them.
        let groups = collapse(work, &self.guards);

        // A claim keeps a storm of copies off the unique row's lock. Whoever holds none is parked.
        let groups = self.claim(groups).await;

        // One transaction: dedupe rows and the handler's effects, or neither. An outage of ours is waited
        // out here and spends nobody's attempt (I11).
        let settlements: Vec<Settlement> = self.commit(groups, stop).await;

        self.conclude(settlements).await;
        self.try_suspects(suspects, stop).await;
    }

    /// The end of the way, for a batch and for a suspect.
    pub(crate) async fn conclude(&self, settlements: Vec<Settlement>) {
        // After the commit, never before: a key that says "done" too early loses an event (I4, I7).
        self.remember(&settlements).await;

        // Retries and dead letters are durable in their next queue before the ack erases them here.
        self.settle(settlements).await;
    }
}
