//! Suspects: events that were in hand when workers died. Each is tried alone, and only its own record
//! condemns it (I6).
//!
//! A broker's count of deliveries proves nothing: a kill, a cut connection or a closed channel raises it for
//! everything in hand. So it only makes a suspect. Before the handler gets one, the ledger writes the start
//! down; when the handler has come back, whatever it says, that is forgotten. What is left with three starts
//! has taken three workers with it.

use crate::collapse::collapse;
use crate::run::Worker;
use broker::{Content, Delivery};
use envelope::{EventId, Key};
use failpoints::{Mutant, mutated};
use ledger::{Handler, Ledger};
use resilience::{Fault, Reason};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Deliveries before this one that make a suspect. One kill is anybody's bad luck, and being tried alone
/// costs each event two more transactions.
const SUSPECT_FROM: u32 = 2;

/// Starts without a return that condemn.
const STARTS_MAX: u32 = 3;

/// How often its starts are counted again before an event is condemned, and how long apart. Another worker may
/// be at a copy of it right now: that start is no death, and is forgotten when the worker comes back, which
/// takes it milliseconds. An event that kills loses nothing by two seconds.
const LOOKS_BEFORE_THE_END: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// The bound of the wait before the last start. Kills that come whenever a worker comes up would hit the same
/// healthy event at the same moment again; after a wait of random length they hit the wait.
const LAST_START_WAIT: Duration = Duration::from_secs(1);

/// How long a stop waits for the ledger to forget starts: as long as for the last acks.
const LAST_CLEAR_TIMEOUT: Duration = Duration::from_secs(3);

/// Parts a batch into those nobody suspects, and suspects. What is not ours meets no handler.
pub(crate) fn apart(batch: Vec<Delivery>) -> (Vec<Delivery>, Vec<Delivery>) {
    batch.into_iter().partition(|delivery| {
        delivery.delivery_count < SUSPECT_FROM
            || matches!(delivery.content, Content::Foreign { .. })
    })
}

/// One suspected event.
#[derive(Debug)]
struct Suspect {
    key: Key,
    event_id: EventId,
    /// Before this one, none of which has returned.
    starts: u32,
    /// Its deliveries in this batch, tried together.
    copies: Vec<Delivery>,
}

/// Suspects the handler has come back from, and whose starts the ledger still holds.
#[derive(Debug, Default)]
pub(crate) struct Returned(Mutex<Vec<Key>>);

/// The handler has a suspect in hand. Dropped when control comes back, also where it does by cancelling the
/// wait for a ledger that is away: that is our fault and no start (I11).
struct Trial<'a> {
    key: Key,
    returned: &'a Returned,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        // A panic is no return.
        if !std::thread::panicking() {
            self.returned.locked().push(self.key);
        }
    }
}

impl Returned {
    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Ledger, H: Handler> Worker<L, H> {
    /// Tries each suspect alone, and condemns those that have had their starts. Told to stop, it releases
    /// the rest.
    pub(crate) async fn try_suspects(&self, suspects: Vec<Delivery>, stop: &CancellationToken) {
        // First, and with every batch: what an outage kept from being forgotten must not count for long.
        let cleared = self.clear_returned(stop).await;
        if suspects.is_empty() || cleared.is_none() {
            return;
        }
        let Some(suspects) = self.ranked(suspects, stop).await else {
            return;
        };
        for mut suspect in suspects {
            // Others have tried copies of it, and come back, since all were counted.
            let Some(starts) = self.starts_of(suspect.key, stop).await else {
                return;
            };
            suspect.starts = starts;
            if starts >= STARTS_MAX || mutated(Mutant::DeadLetterByCount) {
                self.condemn(suspect).await;
            } else {
                self.try_alone(suspect, stop).await;
            }
        }
    }

    /// A suspect's starts by now; as many as condemn it only where that lasts. Nothing when told to stop.
    async fn starts_of(&self, key: Key, stop: &CancellationToken) -> Option<u32> {
        let ask = || self.ledger.suspect_starts(std::slice::from_ref(&key));
        for looks in 0.. {
            // One key, one answer.
            let starts = self.until_answered(ask, stop).await?.first().copied()?;
            if starts < STARTS_MAX || looks == LOOKS_BEFORE_THE_END {
                return Some(starts);
            }
            tokio::select! {
                biased;
                () = sleep(BETWEEN_LOOKS) => {}
                () = stop.cancelled() => return None,
            }
        }
        None
    }

    /// Those with the fewest starts first: what killed before goes after all its neighbours. Equals in
    /// random order, so that a worker killed again and again does not begin with the same one each time.
    async fn ranked(
        &self,
        suspects: Vec<Delivery>,
        stop: &CancellationToken,
    ) -> Option<Vec<Suspect>> {
        let mut suspects = self.by_event(suspects);
        let keys: Vec<Key> = suspects.iter().map(|suspect| suspect.key).collect();
        let ask = || self.ledger.suspect_starts(&keys);
        let starts = self.until_answered(ask, stop).await?;
        for (suspect, starts) in suspects.iter_mut().zip(starts) {
            suspect.starts = starts;
        }
        fastrand::shuffle(&mut suspects);
        suspects.sort_by_key(|suspect| suspect.starts);
        Some(suspects)
    }

    fn by_event(&self, deliveries: Vec<Delivery>) -> Vec<Suspect> {
        let mut suspects = BTreeMap::<Key, Suspect>::new();
        for delivery in deliveries {
            // `apart` lets nothing else through; it would be released.
            if let Content::Event(envelope) = &delivery.content {
                let key = envelope.key(&self.pipeline);
                let suspect = suspects.entry(key).or_insert_with(|| Suspect {
                    key,
                    event_id: envelope.event_id.clone(),
                    starts: 0,
                    copies: Vec::new(),
                });
                suspect.copies.push(delivery);
            }
        }
        suspects.into_values().collect()
    }

    /// Writes the start down. False when told to stop before that.
    async fn start(&self, suspect: &Suspect, stop: &CancellationToken) -> bool {
        let start = suspect.starts + 1;
        if start == STARTS_MAX {
            tokio::select! {
                biased;
                () = sleep(LAST_START_WAIT.mul_f64(fastrand::f64())) => {}
                () = stop.cancelled() => return false,
            }
        }
        let write = || self.ledger.start_suspect(suspect.key, start);
        self.until_answered(write, stop).await.is_some()
    }

    /// Reading a body is the handler's code too, so even that comes after the start. Goes on without a
    /// claim: the last worker may have died with it, and being parked would wipe the count.
    async fn try_alone(&self, suspect: Suspect, stop: &CancellationToken) {
        self.events.suspected(&suspect.event_id, suspect.starts);
        // Before the start is asked for: one whose answer is lost may be written, and whoever stops or gives
        // up waiting then has come back without a try.
        let trial = Trial {
            key: suspect.key,
            returned: &self.returned,
        };
        let mut decided = Vec::new();
        if self.start(&suspect, stop).await {
            let work = self.intake(suspect.copies).await;
            decided = self.commit(collapse(work, &self.guards), stop).await;
        }
        drop(trial);
        // Before the ack: an event that is gone comes to nobody who would forget its start. Told to stop, it
        // is left to whoever asks next.
        let _ = self.clear_returned(stop).await;
        self.conclude(decided).await;
    }

    /// Its starts stay where they are: they go when the letter has been filed, which is later than safe.
    async fn condemn(&self, suspect: Suspect) {
        let message = format!("{STARTS_MAX} workers died while they worked on it alone");
        let fault = Fault::poison(Reason::CrashLoop, message);
        let copies = suspect.copies.into_iter();
        let settlements = copies.filter_map(|delivery| match delivery.content {
            Content::Event(envelope) => {
                Some(self.poisoned(envelope, delivery.receipt, fault.clone()))
            }
            Content::Foreign { .. } => None,
        });
        self.settle(settlements.collect()).await;
    }

    async fn clear_returned(&self, stop: &CancellationToken) -> Option<()> {
        let keys = self.returned.locked().clone();
        if keys.is_empty() {
            return Some(());
        }
        self.until_answered(|| self.ledger.clear_suspects(&keys), stop)
            .await?;
        self.returned.locked().retain(|key| !keys.contains(key));
        Some(())
    }

    /// We stop, perhaps with a try given up: its start is forgotten now, or counts against its event.
    pub(crate) async fn clear_last(&self) {
        let keys = self.returned.locked().clone();
        if keys.is_empty() {
            return;
        }
        // Once and not for long: a ledger that is away keeps nobody from stopping.
        let cleared = timeout(LAST_CLEAR_TIMEOUT, self.ledger.clear_suspects(&keys)).await;
        if !matches!(cleared, Ok(Ok(()))) {
            warn!("{} starts of suspects could not be forgotten", keys.len());
        }
    }

    /// Asks until the ledger answers: no fault here is an event's. Nothing when told to stop.
    async fn until_answered<T, F>(&self, ask: impl Fn() -> F, stop: &CancellationToken) -> Option<T>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        if !self.gate.wait_while_open(|| self.ledger.ping(), stop).await {
            return None;
        }
        loop {
            let fault = match ask().await {
                Ok(answer) => return Some(answer),
                Err(fault) => fault,
            };
            self.events.ledger_fault(&fault);
            self.gate.failed();
            if !self.gate.pass(|| self.ledger.ping(), stop).await {
                return None;
            }
        }
    }
}
