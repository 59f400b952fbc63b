//! The writer's thread: when to write.
//!
//! It is a thread with a runtime of its own, since every step ends in an fsync, and so that it can finish
//! its work while the program's runtime is already going down.

use super::reader::Reader;
use super::store::ChangeError;
use super::writer::{Now, Routed, Writer};
use crate::in_hand::HandLine;
use crate::{Feed, LaneState, PublishError, PublishLane, PublishRequest, QueueName};
use envelope::UnixMicros;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Publishes in one transaction at most: at 256 the fsync is already a small part of the time (34,000/s
/// against 10,000/s with 64), and more only makes everybody wait longer.
pub(super) const GROUP_MAX: usize = 512;

/// How long an ending waits for a transaction that comes along anyway. It holds nobody up: a consumer that
/// has settled a quarter of its prefetch is attended to at once.
const ENDING_LINGER: Duration = Duration::from_millis(5);

/// How often other processes' writes are looked for, and a disk that failed is tried. An operator who
/// replays a dead letter does not notice a quarter of a second; four reads a second cost nothing.
const TICK: Duration = Duration::from_millis(250);

/// How often the last endings are tried at the end.
const LAST_TRIES: u32 = 3;

/// Reads the wall clock.
pub(super) type Clock = fn() -> UnixMicros;

/// A consumer that begins.
#[derive(Debug)]
pub(super) struct Joining {
    pub queue: QueueName,
    pub prefetch: u16,
    pub feed: Feed,
    pub line: HandLine,
}

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Thread {
    writer: Writer,
    lane: PublishLane,
    joining: mpsc::Receiver<Joining>,
    clock: Clock,
    stop: CancellationToken,
    /// Rung by consumers: something was settled, or they have closed.
    bell: Arc<Notify>,
    waiting: Vec<PublishRequest>,
    endings_since: Option<Instant>,
    next_tick: Instant,
    blocked: bool,
    /// The last transaction failed though nothing was published; nothing is tried until the next tick.
    stuck: bool,
}

impl Thread {
    pub fn new(
        writer: Writer,
        lane: PublishLane,
        joining: mpsc::Receiver<Joining>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Self {
        Self {
            writer,
            lane,
            joining,
            clock,
            stop,
            bell: Arc::default(),
            waiting: Vec::with_capacity(GROUP_MAX),
            endings_since: None,
            next_tick: Instant::now() + TICK,
            blocked: false,
            stuck: false,
        }
    }

    /// Serves until stopped, and finishes what is in hand.
    pub async fn run(mut self) {
        while self.wait().await {
            self.turn();
        }
        self.finish().await;
    }

    /// Waits until there is something to do; false once the broker is to stop.
    ///
    /// Nothing is missed in between: each of these keeps what came while nobody waited for it.
    async fn wait(&mut self) -> bool {
        let wake_at = self.wake_at();
        tokio::select! {
            // What is rare comes first: publishes may always be there, and would let nobody else have a turn.
            biased;
            () = self.stop.cancelled() => return false,
            Some(joining) = self.joining.recv() => self.join(joining),
            1.. = self.lane.requests.recv_many(&mut self.waiting, GROUP_MAX) => {}
            () = self.bell.notified() => {}
            () = tokio::time::sleep_until(wake_at.into()) => {}
        }
        true
    }

    fn wake_at(&mut self) -> Instant {
        let now = self.now();
        if !self.stuck && self.writer.has_work(now) {
            return now.steady;
        }
        let due = self.writer.due_in(now).filter(|_| !self.stuck);
        let due = due.map(|wait| now.steady + wait);
        let endings = self.endings_since.map(|since| since + ENDING_LINGER);
        [due, endings]
            .into_iter()
            .flatten()
            .fold(self.next_tick, Instant::min)
    }

    fn now(&self) -> Now {
        Now {
            wall: (self.clock)(),
            steady: Instant::now(),
        }
    }

    fn join(&mut self, joining: Joining) {
        let Some(queue) = self.writer.queue(&joining.queue) else {
            // The feed is dropped, so the consumer ends at once and its program sees that.
            tracing::error!(
                "no queue {} is declared, so nobody consumes it",
                joining.queue
            );
            return;
        };
        tokio::spawn(ring_when_closed(&joining.feed, self.bell.clone()));
        let bell = self.bell.clone();
        let ring = move || bell.notify_one();
        let reader = Reader::new(queue, joining.prefetch, joining.feed, joining.line, ring);
        self.writer.dispatch.join(reader);
    }

    /// Does what there is to do, in one transaction.
    fn turn(&mut self) {
        let now = self.now();
        if self.next_tick <= now.steady {
            self.tick(now);
        }
        let publishes = self.take_publishes();
        if !publishes.is_empty() {
            self.write_publishes(publishes, now);
        } else if !self.stuck && (self.writer.has_work(now) || self.endings_are_due(now)) {
            self.write_rest(now);
        }
        self.note_endings(now);
    }

    fn endings_are_due(&self, now: Now) -> bool {
        let lingered = |since: Instant| now.steady >= since + ENDING_LINGER;
        self.endings_since.is_some_and(lingered)
    }

    fn note_endings(&mut self, now: Now) {
        if !self.writer.dispatch.has_endings() {
            self.endings_since = None;
        } else if self.endings_since.is_none() {
            self.endings_since = Some(now.steady);
        }
    }

    /// The publishes that came, each with its route; the others have their verdict.
    fn take_publishes(&mut self) -> Vec<Routed> {
        let mut routed = Vec::with_capacity(self.waiting.len());
        for request in std::mem::take(&mut self.waiting) {
            if self.blocked {
                request.refuse(PublishError::Blocked);
            } else if let Some(route) = self.writer.route(&request) {
                routed.push(Routed { request, route });
            } else {
                request.refuse(PublishError::Unroutable);
            }
        }
        routed
    }

    fn write_publishes(&mut self, publishes: Vec<Routed>, now: Now) {
        if let Err(error) = self.writer.write(publishes, now) {
            self.block(&error);
        }
    }

    fn write_rest(&mut self, now: Now) {
        if let Err(error) = self.writer.write(Vec::new(), now) {
            self.stuck = true;
            self.block(&error);
        }
    }

    /// Takes no publishes until the disk does.
    fn block(&mut self, error: &ChangeError) {
        if !self.blocked {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the embedded broker cannot write; it takes no events until it can"
            );
        }
        self.blocked = true;
        self.lane.set_state(LaneState::Blocked);
    }

    fn tick(&mut self, now: Now) {
        self.next_tick = now.steady + TICK;
        self.stuck = false;
        if let Err(error) = self.writer.look_for_others() {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot read the broker's file"
            );
        }
        if self.blocked && self.writer.probe().is_ok() {
            tracing::info!("the embedded broker can write again");
            self.blocked = false;
            self.lane.set_state(LaneState::Up);
        }
    }

    /// Gives every publish that still waits its verdict, writes down the last endings, and ends.
    async fn finish(mut self) {
        self.lane.set_state(LaneState::Away);
        self.lane.requests.close();
        self.writer.dispatch.close();
        while !self.waiting.is_empty()
            || self
                .lane
                .requests
                .recv_many(&mut self.waiting, GROUP_MAX)
                .await
                > 0
        {
            let (publishes, now) = (self.take_publishes(), self.now());
            self.write_publishes(publishes, now);
        }
        self.write_last_endings();
        if let Err(error) = self.writer.finish() {
            // Nothing is lost by it: the next start reads the log.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot tidy the broker's file"
            );
        }
    }

    fn write_last_endings(&mut self) {
        let now = self.now();
        let written = (0..LAST_TRIES).any(|_| self.writer.write(Vec::new(), now).is_ok());
        if !written {
            tracing::warn!("the last acks could not be written: those events will come again");
        }
    }
}

/// Rings when a consumer has closed or was dropped, so that somebody looks.
fn ring_when_closed(feed: &Feed, bell: Arc<Notify>) -> impl Future<Output = ()> + use<> {
    let (stop_reading, deliveries) = (feed.stop_reading.clone(), feed.deliveries.clone());
    async move {
        tokio::select! {
            () = stop_reading.cancelled() => {}
            () = deliveries.closed() => {}
        }
        bell.notify_one();
    }
}

impl Drop for Thread {
    /// However it ends: nobody is at the other end of the lane any more.
    fn drop(&mut self) {
        self.lane.set_state(LaneState::Away);
    }
}
