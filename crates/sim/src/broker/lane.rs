//! Publishing: one task per lane takes requests, stores them and confirms; or does not.

use super::link::Link;
use super::server::{Fate, Server};
use broker::{LaneState, PublishError, PublishLane, PublishRequest};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// As with the real one: a session in which a confirm is missing for so long is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);

/// How long it takes to connect again after that.
const RECONNECT: Duration = Duration::from_millis(50);

enum Outcome {
    Settled,
    Unheard,
}

pub(super) async fn serve(link: Link, mut lane: PublishLane) {
    while let Some(epoch) = connect(&link, &mut lane).await {
        serve_session(&link, &mut lane, epoch).await;
        lane.set_state(LaneState::Away);
        lane.refuse_waiting(PublishError::Away);
    }
    lane.close();
}

async fn connect(link: &Link, lane: &mut PublishLane) -> Option<u64> {
    let meanwhile = async {
        while let Some(request) = lane.requests.recv().await {
            request.refuse(PublishError::Away);
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        () = link.stop().cancelled() => None,
        epoch = link.stands() => Some(epoch),
        () = meanwhile => None,
    }
}

async fn serve_session(link: &Link, lane: &mut PublishLane, epoch: u64) {
    let server = link.server();
    let mut is_blocked = server.alarm().get();
    let mut in_flight = FuturesUnordered::new();
    let mut is_drained = false;
    lane.set_state(state_under(is_blocked));
    while !(is_drained && in_flight.is_empty()) {
        if is_blocked && lane.requests.is_closed() {
            break;
        }
        tokio::select! {
            biased;
            () = link.ended(epoch) => break,
            Some(outcome) = in_flight.next() => match outcome {
                Outcome::Settled => {}
                Outcome::Unheard => {
                    link.cut(RECONNECT);
                    break;
                }
            },
            now = server.alarm().wait_for(|now| *now != is_blocked) => {
                is_blocked = now;
                lane.set_state(state_under(is_blocked));
                if is_blocked {
                    lane.refuse_waiting(PublishError::Blocked);
                }
            }
            request = lane.requests.recv(), if !is_blocked && !is_drained => match request {
                Some(request) => in_flight.push(publish(server.clone(), request)),
                None => is_drained = true,
            },
            () = link.stop().cancelled(), if !lane.requests.is_closed() => lane.requests.close(),
        }
    }
    // Dropping what is in flight gives it no verdict: it may be stored or not.
}

fn state_under(is_blocked: bool) -> LaneState {
    if is_blocked {
        LaneState::Blocked
    } else {
        LaneState::Up
    }
}

async fn publish(server: Arc<Server>, request: PublishRequest) -> Outcome {
    let fate = server.fate();
    server.latency().pass().await;
    if fate == Fate::Refused {
        request.refuse(PublishError::Refused);
        return Outcome::Settled;
    }
    server.store(&request.to, &request.envelope);
    server.latency().pass().await;
    if fate == Fate::Unheard {
        sleep(CONFIRM_TIMEOUT).await;
        return Outcome::Unheard;
    }
    request.confirm();
    Outcome::Settled
}
