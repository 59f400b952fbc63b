//! The publishing end: a request goes down a lane and comes back with a verdict.

use crate::Destination;
use envelope::Envelope;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Proof that the broker has routed an event to a queue and stored it there (I1).
///
/// Only [`PublishRequest::confirm`] makes one, so only whoever serves a lane can.
#[derive(Debug)]
#[must_use = "a confirm that nobody looks at proves nothing to anybody"]
pub struct Confirmed(());

/// Why an event is not known to be stored. In each case the sender may send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No session with the broker stands.
    #[error("the broker is away")]
    Away,
    /// The broker has an alarm and reads nothing from publishers.
    #[error("the broker is blocked by an alarm")]
    Blocked,
    /// The broker said no (`basic.nack`): a queue is full or its leader is away.
    #[error("the broker refused the event")]
    Refused,
    /// No queue takes it (`basic.return`). The topology makes this impossible: an alarm, not a case.
    #[error("no queue takes the event")]
    Unroutable,
    /// The session ended, or the wait did, before a verdict came. The event may be stored.
    #[error("the broker gave no verdict")]
    NoVerdict,
    /// As many events as we keep in hand are waiting for their verdict already.
    #[error("too many events are waiting for the broker")]
    Overloaded,
}

/// The state of one lane, set by whoever serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LaneState {
    /// No session stands.
    Away = 0,
    /// Events are taken and confirmed.
    Up = 1,
    /// The session stands, and the broker reads nothing from it.
    Blocked = 2,
}

/// A lane in which fewer wait takes whatever comes: as many as a busy task finds when its turn comes.
const QUIET_BELOW: usize = 16;

/// Hands events to the broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    lanes: Arc<[Lane]>,
    next: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Lane {
    requests: mpsc::Sender<PublishRequest>,
    state: Arc<AtomicU8>,
}

/// The serving end of a lane: one task owns it, takes its requests in order and answers each.
#[derive(Debug)]
pub struct PublishLane {
    /// What is to be published, in order.
    pub requests: mpsc::Receiver<PublishRequest>,
    state: Arc<AtomicU8>,
}

/// One event to publish, and the way back to whoever waits for the verdict.
#[derive(Debug)]
pub struct PublishRequest {
    /// Where to.
    pub to: Destination,
    /// What.
    pub envelope: Envelope,
    /// From when on nobody waits for the verdict any more.
    due: Option<Instant>,
    verdict: oneshot::Sender<Result<Confirmed, PublishError>>,
}

/// A publisher with `lanes` lanes, each of which holds at most `waiting_max` requests not yet taken.
pub fn publisher(lanes: usize, waiting_max: usize) -> (Publisher, Vec<PublishLane>) {
    let (ours, theirs) = (0..lanes)
        .map(|_| lane(waiting_max))
        .unzip::<_, _, Vec<_>, Vec<_>>();
    (
        Publisher {
            lanes: ours.into(),
            next: Arc::default(),
        },
        theirs,
    )
}

fn lane(waiting_max: usize) -> (Lane, PublishLane) {
    let (sender, requests) = mpsc::channel(waiting_max);
    let state = Arc::new(AtomicU8::new(LaneState::Away as u8));
    (
        Lane {
            requests: sender,
            state: state.clone(),
        },
        PublishLane { requests, state },
    )
}

impl Publisher {
    /// Publishes an event and waits for the broker's verdict.
    ///
    /// A caller that stops waiting does not take the event back: it may be stored all the same. So it
    /// answers its sender with an error, and the sender's next try is a duplicate, never a loss.
    pub async fn publish(
        &self,
        to: Destination,
        envelope: Envelope,
    ) -> Result<Confirmed, PublishError> {
        self.ask(to, envelope, None).await
    }

    /// The same for a caller who has to answer by `due`. What cannot be confirmed by then any more is not
    /// published: it would be stored for nobody, and take the place of an event that is still in time.
    pub async fn publish_by(
        &self,
        due: Instant,
        to: Destination,
        envelope: Envelope,
    ) -> Result<Confirmed, PublishError> {
        let asking = self.ask(to, envelope, Some(due));
        let verdict = timeout_at(due, asking).await;
        verdict.unwrap_or(Err(PublishError::NoVerdict))
    }

    async fn ask(
        &self,
        to: Destination,
        envelope: Envelope,
        due: Option<Instant>,
    ) -> Result<Confirmed, PublishError> {
        let (verdict, wait) = oneshot::channel();
        self.hand_over(PublishRequest {
            to,
            envelope,
            due,
            verdict,
        })?;
        // A dropped sender is a session that ended with the event in flight.
        wait.await.unwrap_or(Err(PublishError::NoVerdict))
    }

    /// Gives the request to a lane that is up and has room; never waits.
    fn hand_over(&self, mut request: PublishRequest) -> Result<(), PublishError> {
        let first = self.first();
        let mut why_not = PublishError::Away;
        for offset in 0..self.lanes.len() {
            let lane = &self.lanes[(first.wrapping_add(offset)) % self.lanes.len()];
            match lane.state() {
                LaneState::Away => continue,
                LaneState::Blocked => why_not = PublishError::Blocked,
                LaneState::Up => match lane.requests.try_send(request) {
                    Ok(()) => return Ok(()),
                    Err(mpsc::error::TrySendError::Full(back)) => {
                        (request, why_not) = (back, PublishError::Overloaded);
                    }
                    Err(mpsc::error::TrySendError::Closed(back)) => request = back,
                },
            }
        }
        Err(why_not)
    }

    /// The lane to try first: the first of those that are up and keep nobody waiting long, so that a quiet
    /// door's events share one channel, and are confirmed together. What the broker pays for an event at 5,000
    /// a second is among the figures of `cargo xtask bench --only ack-latency`.
    fn first(&self) -> usize {
        let is_quiet = |lane: &Lane| lane.state() == LaneState::Up && lane.waiting() < QUIET_BELOW;
        let quiet = self.lanes.iter().position(is_quiet);
        // Beyond that one channel is not enough: all take turns.
        quiet.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// What the lanes are able to do now: up if any is, else blocked if any is.
    pub fn state(&self) -> LaneState {
        let states = || self.lanes.iter().map(Lane::state);
        if states().any(|state| state == LaneState::Up) {
            LaneState::Up
        } else if states().any(|state| state == LaneState::Blocked) {
            LaneState::Blocked
        } else {
            LaneState::Away
        }
    }
}

impl Lane {
    /// How many wait for room on the channel.
    fn waiting(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }

    fn state(&self) -> LaneState {
        match self.state.load(Ordering::Acquire) {
            1 => LaneState::Up,
            2 => LaneState::Blocked,
            _ => LaneState::Away,
        }
    }
}

impl PublishLane {
    /// Says what this lane is able to do from now on.
    pub fn set_state(&self, state: LaneState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Takes nothing more, for good.
    pub fn close(&mut self) {
        self.set_state(LaneState::Away);
        self.requests.close();
        self.refuse_waiting(PublishError::Away);
    }

    /// Answers everything that waits with the same refusal: the lane has nobody to ask.
    pub fn refuse_waiting(&mut self, why: PublishError) {
        while let Ok(request) = self.requests.try_recv() {
            request.refuse(why);
        }
    }
}

impl PublishRequest {
    /// Whether a verdict that takes so long from `now` on would come too late.
    pub fn is_late(&self, now: Instant, verdict_takes: Duration) -> bool {
        self.due.is_some_and(|due| now + verdict_takes > due)
    }

    /// The broker has stored the event: `basic.ack` without a return, or a commit that was fsynced.
    pub fn confirm(self) {
        // Nobody waiting any more is not an error: the sender got a 503 and will send a duplicate.
        let _ = self.verdict.send(Ok(Confirmed(())));
    }

    /// The event is not known to be stored.
    pub fn refuse(self, why: PublishError) {
        let _ = self.verdict.send(Err(why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::{Attempt, UnixMicros};

    fn event() -> Envelope {
        Envelope {
            event_id: "e".parse().unwrap(),
            source: "default".parse().unwrap(),
            body: bytes::Bytes::new(),
            content_type: None,
            received_at: UnixMicros(0),
            signed_at: None,
            signature_digest: None,
            attempt: Attempt::FIRST,
            parked: 0,
            replays: 0,
            note: None,
            traceparent: None,
        }
    }

    #[tokio::test]
    async fn an_event_goes_down_a_lane_that_is_up() {
        let (publisher, mut lanes) = publisher(2, 1);
        lanes[1].set_state(LaneState::Up);
        let publish =
            tokio::spawn(async move { publisher.publish(Destination::Events, event()).await });
        lanes[1].requests.recv().await.unwrap().confirm();
        assert!(publish.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn without_a_session_the_answer_is_away_at_once() {
        let (publisher, lanes) = publisher(2, 1);
        let verdict = || publisher.publish(Destination::Events, event());
        assert_eq!(verdict().await.unwrap_err(), PublishError::Away);
        lanes[0].set_state(LaneState::Blocked);
        assert_eq!(verdict().await.unwrap_err(), PublishError::Blocked);
    }

    #[tokio::test]
    async fn a_session_that_ends_with_the_event_in_flight_gives_no_verdict() {
        let (publisher, mut lanes) = publisher(1, 1);
        lanes[0].set_state(LaneState::Up);
        let publish =
            tokio::spawn(async move { publisher.publish(Destination::Events, event()).await });
        drop(lanes[0].requests.recv().await);
        assert_eq!(publish.await.unwrap().unwrap_err(), PublishError::NoVerdict);
    }
}
