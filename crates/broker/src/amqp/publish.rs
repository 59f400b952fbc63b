//! Publishing: one task per channel takes requests in order and owns their confirms.

use super::flight::{Flight, Outcome};
use super::properties;
use super::session::{Condition, Link, Session, SessionWork};
use crate::vitals::PUBLISHING;
use crate::{Destination, LaneState, PublishError, PublishLane, PublishRequest, Topology};
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// A session in which nothing was confirmed for this long, with something in flight, is taken for dead.
/// A quorum queue on a slow disk confirms within tens of milliseconds, an election takes a second.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps the lanes of one connection served until we stop.
pub(super) async fn supervise(link: Arc<Link>, lanes: Vec<PublishLane>) {
    let mut work = Publishing {
        link: link.clone(),
        lanes,
    };
    link.keep_open("publishing", &mut work).await;
    work.lanes.iter_mut().for_each(PublishLane::close);
}

struct Publishing {
    link: Arc<Link>,
    lanes: Vec<PublishLane>,
}

impl SessionWork for Publishing {
    const CONNECTION: &'static str = PUBLISHING;
    const CONSUMES: bool = false;

    async fn run(&mut self, session: &Session) -> bool {
        // The lanes share their connection's fate: the first to end takes the others with it.
        let over = CancellationToken::new();
        let serving = self.lanes.iter_mut().map(|lane| async {
            let _guard = over.clone().drop_guard();
            if let Some(channel) = confirming_channel(session).await {
                Lane {
                    lane,
                    channel,
                    session,
                    over: &over,
                    link: &self.link,
                }
                .serve()
                .await;
            }
        });
        join_all(serving).await;
        self.link.stop.is_cancelled()
    }

    async fn meanwhile(&mut self) {
        // A request that was under way when its session ended has nobody to ask: say so at once.
        join_all(self.lanes.iter_mut().map(async |lane| {
            while let Some(request) = lane.requests.recv().await {
                request.refuse(PublishError::Away);
            }
        }))
        .await;
    }
}

async fn confirming_channel(session: &Session) -> Option<Channel> {
    let channel = session
        .channel()
        .await
        .inspect_err(|why| warn!("cannot publish: {why}"))
        .ok()?;
    let confirming = channel.confirm_select(ConfirmSelectOptions { nowait: false });
    let selected = super::session::bounded("confirm.select", confirming).await;
    selected
        .inspect_err(|why| warn!("cannot publish: {why}"))
        .ok()?;
    Some(channel)
}

struct Lane<'a> {
    lane: &'a mut PublishLane,
    channel: Channel,
    session: &'a Session,
    over: &'a CancellationToken,
    link: &'a Link,
}

impl Lane<'_> {
    async fn serve(self) {
        let Self {
            lane,
            channel,
            session,
            over,
            link,
        } = self;
        // Made once: each would register with its token again for every event.
        let (mut ended, mut others_over) = (pin!(session.ended()), pin!(over.cancelled()));
        let mut stopping = pin!(link.stop.cancelled());
        let mut condition = session.condition.clone();
        let mut flight = Flight::new(link.settings.in_flight_max);
        let mut come = Vec::new();
        let mut tick = interval(CONFIRM_TIMEOUT / 6);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drained = false;
        lane.set_state(state_under(*condition.borrow()));
        link.readiness.stood();
        loop {
            let blocked = *condition.borrow() == Condition::Blocked;
            let room = if blocked || drained { 0 } else { flight.room() };
            tokio::select! {
                biased;
                () = &mut ended => break,
                () = &mut others_over => break,
                trusted = flight.land(), if !flight.is_empty() => if !trusted {
                    break;
                },
                // Pushed here and polled above by this one task: the first poll takes the delivery tag
                // and queues the frames with nothing in between, so confirms cannot be mixed up.
                count = lane.requests.recv_many(&mut come, room), if room > 0 => {
                    drained = count == 0;
                    flight.launch(come.drain(..), |request| publish(&channel, request));
                }
                _ = tick.tick() => {
                    if !blocked && flight.is_stuck_for(CONFIRM_TIMEOUT) {
                        error!("the broker confirmed nothing for {CONFIRM_TIMEOUT:?}, giving the session up");
                        break;
                    }
                }
                Ok(()) = condition.changed() => {
                    let now = *condition.borrow_and_update();
                    lane.set_state(state_under(now));
                    if now == Condition::Blocked {
                        // The frames of a blocked connection are never written: answer at once (I8).
                        lane.refuse_waiting(PublishError::Blocked);
                    }
                    flight.excuse();
                }
                // What is in flight gets its verdict; what comes now is refused by the closed lane.
                () = &mut stopping, if !lane.requests.is_closed() => lane.requests.close(),
            }
            let stuck = blocked && lane.requests.is_closed();
            if stuck || (drained && flight.is_empty()) {
                break;
            }
        }
        lane.set_state(LaneState::Away);
        lane.refuse_waiting(PublishError::Away);
        // Dropping what is in flight answers each with `NoVerdict`: it may be stored or not.
    }
}

fn state_under(condition: Condition) -> LaneState {
    match condition {
        Condition::Open => LaneState::Up,
        Condition::Blocked => LaneState::Blocked,
    }
}

async fn publish(channel: &Channel, request: PublishRequest) -> Outcome {
    let started = Instant::now();
    let (exchange, key) = match &request.to {
        Destination::Events => (Topology::EVENTS, request.envelope.source.as_str()),
        Destination::Queue(queue) => (Topology::DIRECT, queue.as_str()),
    };
    let options = BasicPublishOptions {
        // A tripwire: the alternate exchange leaves nothing unroutable.
        mandatory: true,
        // RabbitMQ refuses `immediate`.
        immediate: false,
    };
    let properties = properties::write(&request.envelope);
    let body = request.envelope.body.clone();
    let published = channel.basic_publish(exchange.into(), key.into(), options, &body, properties);
    let verdict = match published.await {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    settle(request, verdict, started.elapsed())
}

/// Only an ack without a return means "routed and stored" (I1).
fn settle(
    request: PublishRequest,
    verdict: Result<Confirmation, lapin::Error>,
    took: Duration,
) -> Outcome {
    match verdict {
        Ok(Confirmation::Ack(None)) => {
            request.confirm();
            Outcome::Settled(took)
        }
        Ok(Confirmation::Nack(None)) => {
            request.refuse(PublishError::Refused);
            Outcome::Settled(took)
        }
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
            // A return carries no tag, so it may belong to another event in flight: none of them can
            // be believed any more.
            error!("the broker returned an event: its topology has been changed by hand");
            request.refuse(PublishError::Unroutable);
            Outcome::SessionOver
        }
        Ok(Confirmation::NotRequested) => {
            error!("confirms are off on a channel that asked for them");
            request.refuse(PublishError::NoVerdict);
            Outcome::SessionOver
        }
        Err(why) => {
            warn!("an event has no verdict: {why}");
            request.refuse(PublishError::NoVerdict);
            Outcome::SessionOver
        }
    }
}
