//! RabbitMQ over AMQP 0-9-1, on `lapin`, with the rules that keep its confirms honest:
//!
//! - One task owns a channel. A channel shared by tasks attaches confirms to the wrong message.
//! - No auto-recovery. A session that ends is rebuilt from scratch, with a new epoch, for ever.
//! - Publishing and consuming have connections of their own: a blocked connection is mute, and acks must
//!   go on during an alarm so that the queue can drain.
//! - Every connect, open and close has a timeout; the library has none.

mod consume;
mod declare;
mod depth;
mod properties;
mod publish;
mod session;
mod watermark;

use crate::{Consumer, Publisher, QueueName, Settings, StartError, Topology, consumer, publisher};
use session::{Link, Readiness};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The client side of a RabbitMQ. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker {
    publisher: Publisher,
    link: Arc<Link>,
    tasks: TaskTracker,
    readiness: Readiness,
}

impl Broker {
    pub(crate) fn start(
        url: &url::Url,
        topology: &Topology,
        settings: Settings,
        stop: CancellationToken,
    ) -> Self {
        let lanes = settings.publish_connections * settings.channels_per_connection;
        let (publisher, mut ends) = publisher::publisher(lanes, settings.waiting_max);
        let readiness = Readiness::default();
        let link = Arc::new(Link::new(url, topology, settings, stop, readiness.clone()));
        let tasks = TaskTracker::new();
        while !ends.is_empty() {
            let rest = ends.split_off(link.settings.channels_per_connection.min(ends.len()));
            tasks.spawn(publish::supervise(
                link.clone(),
                std::mem::replace(&mut ends, rest),
            ));
        }
        Self {
            publisher,
            link,
            tasks,
            readiness,
        }
    }

    pub(crate) fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    pub(crate) fn consumer(&self, queue: QueueName, prefetch: u16) -> Consumer {
        let (consumer, feed) = consumer::consumer(prefetch);
        self.tasks
            .spawn(consume::supervise(self.link.clone(), queue, prefetch, feed));
        consumer
    }

    pub(crate) fn watch_depth(&self, queues: Vec<QueueName>) -> watch::Receiver<Option<u64>> {
        let (depth, watched) = watch::channel(None);
        self.tasks
            .spawn(depth::supervise(self.link.clone(), queues, depth));
        watched
    }

    pub(crate) async fn ready(&self) -> Result<(), StartError> {
        self.readiness.wait().await
    }

    pub(crate) async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
