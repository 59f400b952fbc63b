//! How many events wait in a queue: a passive declaration once a second. It sees what is ready and not what
//! is in somebody's hands, which is what a door has to know; no management plugin is needed.

use super::session::{Link, Session, SessionWork, bounded};
use crate::QueueName;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// At 5,000 events a second a bound is overshot by 5,000, far below any bound worth setting.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps `depth` at the number of events ready in the fullest of these queues; nothing while unknown.
pub(super) async fn supervise(
    link: Arc<Link>,
    queues: Vec<QueueName>,
    depth: watch::Sender<Option<u64>>,
) {
    let mut work = Watching {
        link: link.clone(),
        queues,
        depth,
    };
    link.keep_open("watching depth", &mut work).await;
}

struct Watching {
    link: Arc<Link>,
    queues: Vec<QueueName>,
    depth: watch::Sender<Option<u64>>,
}

impl SessionWork for Watching {
    const CONNECTION: &'static str = "looking";
    const CONSUMES: bool = false;

    async fn run(&mut self, session: &Session) -> bool {
        let stop = self.link.stop.clone();
        tokio::select! {
            () = stop.cancelled() => return true,
            () = self.depth.closed() => return true,
            () = session.ended() => {}
            () = look(session, &self.queues, &self.depth) => {}
        }
        // Unknown is not full: whether an event can be stored, its publish will tell.
        self.depth.send_replace(None);
        false
    }

    async fn meanwhile(&mut self) {
        self.depth.closed().await;
    }
}

/// Looks once a second until that fails.
async fn look(session: &Session, queues: &[QueueName], depth: &watch::Sender<Option<u64>>) {
    let channel = match session.channel().await {
        Ok(channel) => channel,
        Err(why) => return warn!("cannot watch the queues: {why}"),
    };
    let mut tick = interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(fullest) = fullest(&channel, queues).await else {
            return;
        };
        depth.send_replace(Some(fullest));
    }
}

async fn fullest(channel: &Channel, queues: &[QueueName]) -> Option<u64> {
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let mut fullest = 0;
    for queue in queues {
        let asking = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
        let found = bounded("asking for a queue's depth", asking).await;
        let found = found
            .inspect_err(|why| warn!("cannot see how many events wait in {queue}: {why}"))
            .ok()?;
        fullest = fullest.max(u64::from(found.message_count()));
    }
    Some(fullest)
}
