//! What one channel has published and the broker has not confirmed.
//!
//! Events set out in bursts: what has come while the bursts before were on their way goes together. A broker
//! handles twenty events that come at once for little more than it handles one: one read of its socket, one
//! append to its log, one fsync, one confirm. While nothing is on its way an event sets out at once, so a
//! quiet door is as quick as it can be.

use crate::{PublishError, PublishRequest};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// Bursts on their way at once: one that the broker stores while the next is on its way to it. What the broker
/// pays for an event then is among the figures of `cargo xtask bench --only ingest-alone`.
const BURSTS_MAX: usize = 2;

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
    launched: u64,
    landed: u64,
    /// How many were launched by the end of each burst that is on its way.
    bursts: VecDeque<u64>,
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
            launched: 0,
            landed: 0,
            bursts: VecDeque::with_capacity(BURSTS_MAX),
            progress: Instant::now(),
            confirm_takes: Duration::ZERO,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.confirms.is_empty()
    }

    /// How many may set out now.
    pub(super) fn room(&self) -> usize {
        if self.bursts.len() < BURSTS_MAX {
            self.in_flight_max.saturating_sub(self.confirms.len())
        } else {
            0
        }
    }

    /// Publishes a burst. What would be confirmed too late is refused instead: a queue of requests that wait
    /// longer than their senders do would otherwise be published one by one, each too late, for as long as
    /// it stays full.
    pub(super) fn launch(
        &mut self,
        burst: impl Iterator<Item = PublishRequest>,
        publish: impl Fn(PublishRequest) -> F,
    ) {
        let now = Instant::now();
        if self.is_empty() {
            if now - self.progress > CONFIRM_TELLING {
                self.confirm_takes = Duration::ZERO;
            }
            self.progress = now;
        }
        for request in burst {
            // One alone is tried whatever the last one took, or nobody would learn that the broker is
            // quick again.
            if !self.is_empty() && request.is_late(now, self.confirm_takes) {
                request.refuse(PublishError::Overloaded);
            } else {
                self.confirms.push(publish(request));
                self.launched += 1;
            }
        }
        self.bursts.push_back(self.launched);
        self.forget_bursts();
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
            self.landed += 1;
            confirm = self.confirms.next().now_or_never().flatten();
        }
        self.forget_bursts();
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

    /// Confirms may overtake each other; as many as a burst has is what counts.
    fn forget_bursts(&mut self) {
        while self.bursts.front().is_some_and(|end| *end <= self.landed) {
            self.bursts.pop_front();
        }
    }
}
