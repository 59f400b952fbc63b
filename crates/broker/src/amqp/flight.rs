//! What one channel has published and the broker has not confirmed.
//!
//! An event sets out as soon as it comes, while fewer than the bound are on their way. To hold some back so that more go
//! together saves the broker nothing: what comes while the client library writes is written together anyway. The figures
//! to compare with are those of the broker in `cargo xtask bench --only ack-latency` and `--only ingest-alone`.

use crate::{PublishError, PublishRequest};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// For how long the last confirm tells how long the next one will take. After a second without any the
/// broker may be quick again.
const CONFIRM_TELLING: Duration = Duration::from_secs(1);

/// What one publish means for its session.
pub(super) enum Outcome {
    /// The event has its verdict, after so long.
    Settled(Duration),
    /// The confirms of this channel can no longer be trusted, or will never come.
    SessionOver,
}

/// The confirms a channel waits for.
pub(super) struct Flight<F> {
    confirms: FuturesUnordered<F>,
    in_flight_max: usize,
    /// When the broker last gave a sign, or could first be expected to.
    progress: Instant,
    /// How long the last confirm took.
    confirm_takes: Duration,
}

impl<F: Future<Output = Outcome>> Flight<F> {
    /// Nothing is on its way, and `in_flight_max` at most will be (I8).
    pub(super) fn new(in_flight_max: usize) -> Self {
        Self {
            confirms: FuturesUnordered::new(),
            in_flight_max,
            progress: Instant::now(),
            confirm_takes: Duration::ZERO,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.confirms.is_empty()
    }

    /// How many may set out now.
    pub(super) fn room(&self) -> usize {
        self.in_flight_max.saturating_sub(self.confirms.len())
    }

    /// Publishes what has come. What would be confirmed too late is refused instead: a queue of requests that wait
    /// longer than their senders do would otherwise be published one by one, each too late, for as long as
    /// it stays full.
    pub(super) fn launch(
        &mut self,
        requests: impl Iterator<Item = PublishRequest>,
        publish: impl Fn(PublishRequest) -> F,
    ) {
        let now = Instant::now();
        if self.is_empty() {
            if now - self.progress > CONFIRM_TELLING {
                self.confirm_takes = Duration::ZERO;
            }
            self.progress = now;
        }
        for request in requests {
            // One alone is tried whatever the last one took, or nobody would learn that the broker is
            // quick again.
            if !self.is_empty() && request.is_late(now, self.confirm_takes) {
                request.refuse(PublishError::Overloaded);
            } else {
                self.confirms.push(publish(request));
            }
        }
    }

    /// Waits for a confirm, and takes every other one that has come with it. False when the session is over.
    pub(super) async fn land(&mut self) -> bool {
        let mut confirm = self.confirms.next().await;
        self.progress = Instant::now();
        while let Some(outcome) = confirm {
            match outcome {
                Outcome::Settled(took) => self.confirm_takes = took,
                Outcome::SessionOver => return false,
            }
            confirm = self.confirms.next().now_or_never().flatten();
        }
        true
    }

    /// The broker could not be expected to confirm anything until now.
    pub(super) fn excuse(&mut self) {
        self.progress = Instant::now();
    }

    /// Whether something is on its way and nothing was confirmed for so long.
    pub(super) fn is_stuck_for(&self, patience: Duration) -> bool {
        !self.is_empty() && self.progress.elapsed() > patience
    }
}
