//! The gate in front of the ledger: its breaker, and who waits for it.

use crate::events::Events;
use envelope::Key;
use resilience::{Breaker, BreakerState, Fault, PROBE_TIMEOUT, Streak};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Batches in a row that lost every immediate try against other writers: the database is overloaded.
const CONTENDED_TO_OPEN: u32 = 5;

/// One ledger's breaker, shared by whatever asks the ledger.
#[derive(Debug)]
pub(crate) struct Gate {
    breaker: Mutex<Inner>,
    state: watch::Sender<BreakerState>,
    events: Events,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    contended: u32,
    unknown: Streak<Key>,
}

impl Gate {
    pub(crate) fn new(events: Events) -> Self {
        let state = BreakerState::Closed;
        events.ledger_breaker(state);
        let inner = Inner {
            breaker: Breaker::new(now()),
            contended: 0,
            unknown: Streak::default(),
        };
        Self {
            breaker: Mutex::new(inner),
            state: watch::Sender::new(state),
            events,
        }
    }

    fn state(&self) -> BreakerState {
        *self.state.borrow()
    }

    /// Whether nobody may ask but a probe.
    pub(crate) fn is_open(&self) -> bool {
        self.state() == BreakerState::Open
    }

    /// Waits while it is open: whoever asked just before may have opened it. False when stopping comes first.
    pub(crate) async fn wait_while_open<F>(
        &self,
        probe: impl Fn() -> F,
        stop: &CancellationToken,
    ) -> bool
    where
        F: Future<Output = Result<(), Fault>>,
    {
        !self.is_open() || self.pass(probe, stop).await
    }

    /// Where the breaker stands, from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<BreakerState> {
        self.state.subscribe()
    }

    /// Returns once the breaker is open. Half-open is not: then the next batch is the probe.
    pub(crate) async fn opened(&self) {
        let mut state = self.state.subscribe();
        // An error means that the gate is gone, and with it whoever would ask.
        let _ = state.wait_for(|state| *state == BreakerState::Open).await;
    }

    /// The ledger has answered.
    pub(crate) fn succeeded(&self) {
        self.change(|inner| {
            inner.contended = 0;
            inner.breaker.succeeded(now());
        });
    }

    /// An event was applied, or refused for what it is: what no rule names has not hit every event.
    pub(crate) fn decided(&self) {
        self.locked().unknown.broken();
    }

    /// An event has met a fault that no rule names. Whether it is everybody's, and so ours: then the breaker
    /// has opened.
    pub(crate) fn is_everybodys(&self, code: &str, event: Key) -> bool {
        self.change(|inner| {
            let everybodys = inner.unknown.hit(code, event);
            match (everybodys, inner.breaker.state()) {
                (false, _) => {}
                (true, BreakerState::Closed) => {
                    inner.breaker.open(now(), fastrand::f64());
                }
                // It answered the probe and has failed the event after it: wait longer each time.
                (true, BreakerState::Open | BreakerState::HalfOpen) => {
                    inner.breaker.failed(now(), fastrand::f64());
                }
            }
            everybodys
        })
    }

    /// A fault of ours.
    pub(crate) fn failed(&self) {
        self.change(|inner| inner.breaker.failed(now(), fastrand::f64()));
    }

    /// A batch lost all its immediate tries against other writers.
    pub(crate) fn contended(&self) {
        self.change(|inner| {
            inner.contended += 1;
            if inner.contended >= CONTENDED_TO_OPEN {
                inner.contended = 0;
                inner.breaker.open(now(), fastrand::f64());
            }
        });
    }

    /// Waits until the ledger may be asked: after the backoff while closed, and from open only once a probe
    /// has been answered. False when stopping comes first.
    pub(crate) async fn pass<F>(&self, probe: impl Fn() -> F, stop: &CancellationToken) -> bool
    where
        F: Future<Output = Result<(), Fault>>,
    {
        loop {
            let due = self.locked().breaker.due();
            tokio::select! {
                biased;
                () = sleep_until(due.into()) => {}
                () = stop.cancelled() => return false,
            }
            if !self.change(|inner| inner.breaker.try_pass(now())) {
                continue;
            }
            if self.state() == BreakerState::Closed {
                return true;
            }
            match timeout(PROBE_TIMEOUT, probe()).await {
                // It answers again; whether it applies an event, the next batch will tell.
                Ok(Ok(())) => return true,
                Ok(Err(_)) | Err(_) => self.failed(),
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.locked();
        let changed = change(&mut inner);
        let now = inner.breaker.state();
        let is_new = self
            .state
            .send_if_modified(|state| std::mem::replace(state, now) != now);
        if is_new {
            self.events.ledger_breaker(now);
        }
        changed
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The runtime's clock, so that a paused one moves the breaker too.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
