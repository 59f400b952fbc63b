//! ★ One batch of deliveries on one screen.

use crate::collapse::{Group, collapse};
use crate::disposition::Settlement;
use crate::events::BatchInWork;
use crate::intake::Work;
use crate::run::Worker;
use crate::suspects::apart;
use broker::Delivery;
use ledger::{Handler, Ledger};
use tokio_util::sync::CancellationToken;

/// A batch that wants nothing any more but the ledger.
///
/// Dropped, its deliveries are released; claims it holds lapse, or are found to be ours.
#[derive(Debug)]
pub(crate) struct Ready<'a, E> {
    groups: Vec<Group<E>>,
    suspects: Vec<Delivery>,
    in_work: BatchInWork<'a>,
}

/// A batch of which each delivery's ending is decided.
///
/// Dropped, its deliveries are released, and come again as duplicates.
#[derive(Debug)]
pub(crate) struct Decided<'a> {
    settlements: Vec<Settlement>,
    _in_work: BatchInWork<'a>,
}

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// The first step: everything that the ledger has no part in.
    pub(crate) async fn prepare(&self, batch: Vec<Delivery>) -> Ready<'_, H::Effect> {
        let in_work = self.events.batch(batch.len());

        // Events that were in hand when workers died come last and alone: should one of them be why, it
        // takes nobody along (I6).
        let (batch, suspects) = apart(batch);

        // What nobody can read is dead at once; the rest becomes work.
        let work: Vec<Work<H::Effect>> = self.intake(batch).await;

        // Copies within the batch share one leader, so that the handler runs once for all of them.
        let groups = collapse(work, &self.guards);

        // A claim keeps a storm of copies off the unique row's lock. Whoever holds none is parked.
        let groups = self.claim(groups).await;
        Ready {
            groups,
            suspects,
            in_work,
        }
    }

    /// One transaction: dedupe rows and the handler's effects, or neither. An outage of ours is waited out
    /// here and spends nobody's attempt (I11).
    ///
    /// Cancelling `stop` ends the waiting for a database that is away; what is in hand is then released.
    pub(crate) async fn decide<'a>(
        &self,
        batch: Ready<'a, H::Effect>,
        stop: &CancellationToken,
    ) -> (Decided<'a>, Vec<Delivery>) {
        let decided = Decided {
            settlements: self.commit(batch.groups, stop).await,
            _in_work: batch.in_work,
        };
        (decided, batch.suspects)
    }

    /// The last: brings every delivery of a batch to its one ending (I3).
    pub(crate) async fn finish(&self, batch: Decided<'_>) {
        self.conclude(batch.settlements).await;
    }

    /// The rest of the way, one step after the other.
    pub(crate) async fn apply(&self, batch: Ready<'_, H::Effect>, stop: &CancellationToken) {
        let (decided, suspects) = self.decide(batch, stop).await;
        self.finish(decided).await;
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

impl<E> Ready<'_, E> {
    /// Whether an event of it may be why workers died.
    pub(crate) fn is_suspected(&self) -> bool {
        !self.suspects.is_empty()
    }
}
