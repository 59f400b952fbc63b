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
mod epoch;
mod flight;
mod holding;
mod journal;
mod look;
mod properties;
mod publish;
mod pulse;
mod session;
mod watermark;

#[doc(hidden)]
pub use properties::{from_bytes, to_bytes};
#[doc(hidden)]
pub use {epoch::Channel, epoch::Epoch, epoch::Handed, holding::Holding, watermark::Ack};

use crate::in_hand::HandBook;
use crate::journal::journal_reader;
use crate::pulse::PULSES_MAX;
use crate::{
    Consumer, InHand, JournalReader, JournalStart, Look, LookError, Publisher, Pulse, Pulses,
    QueueName, Settings, StartError, Topology, Vitals, consumer, publisher,
};
use look::Ask;
use session::{Link, Readiness};
use std::sync::{Arc, OnceLock};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

/// The client side of a RabbitMQ. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker {
    publisher: Publisher,
    link: Arc<Link>,
    tasks: TaskTracker,
    readiness: Readiness,
    hands: HandBook,
    asks: Arc<OnceLock<mpsc::Sender<Ask>>>,
}

impl Broker {
    pub(crate) fn start(
        url: &url::Url,
        topology: &Topology,
        settings: Settings,
        stop: CancellationToken,
    ) -> Self {
        let link = |readiness| Link::new(url, topology, settings, stop, readiness);
        Self::on(link)
    }

    /// The same without declaring anything.
    pub(crate) fn attach(
        url: &url::Url,
        topology: &Topology,
        settings: Settings,
        stop: CancellationToken,
    ) -> Self {
        let link = |readiness| Link::new(url, topology, settings, stop, readiness).for_guests();
        Self::on(link)
    }

    fn on(link: impl FnOnce(Readiness) -> Link) -> Self {
        make_runtime_of_client();
        let readiness = Readiness::default();
        let link = Arc::new(link(readiness.clone()));
        let settings = &link.settings;
        let lanes = settings.publish_connections * settings.channels_per_connection;
        let (publisher, mut ends) = publisher::publisher(lanes, settings.waiting_max);
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
            hands: HandBook::default(),
            asks: Arc::default(),
        }
    }

    pub(crate) fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    pub(crate) fn consumer(&self, queue: QueueName, prefetch: u16) -> Consumer {
        let (consumer, feed) = consumer::consumer(prefetch);
        let (link, book) = (self.link.clone(), self.hands.clone());
        self.tasks
            .spawn(consume::supervise(link, queue, prefetch, feed, book));
        consumer
    }

    pub(crate) fn read_journal(&self, start: JournalStart) -> JournalReader {
        let (reader, feed) = journal_reader();
        self.tasks
            .spawn(journal::read(self.link.clone(), start, feed));
        reader
    }

    pub(crate) async fn look(&self, queues: &[QueueName]) -> Result<Vec<Look>, LookError> {
        // One connection for all looks, opened by the first.
        let asks = self.asks.get_or_init(|| {
            let (asks, asked) = mpsc::channel(look::ASKS_MAX);
            self.tasks.spawn(look::supervise(self.link.clone(), asked));
            asks
        });
        look::ask(asks, queues.to_vec()).await
    }

    pub(crate) fn vitals(&self) -> Vitals {
        self.link.vitals.clone()
    }

    pub(crate) fn in_hand(&self, queue: &QueueName) -> InHand {
        self.hands.in_hand(queue)
    }

    pub(crate) fn pulse(&self, make: impl Fn() -> Pulse + Send + Sync + 'static) {
        self.tasks.spawn(pulse::beat(self.link.clone(), make));
    }

    pub(crate) fn pulses(&self) -> Pulses {
        let (pulses, receiver) = broadcast::channel(PULSES_MAX);
        self.tasks.spawn(pulse::listen(self.link.clone(), pulses));
        Pulses::of(receiver, self.link.stop.clone())
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

/// The client's own threads are outside our runtime, and make one of their own when they first close a connection. Made
/// at a moment without file descriptors it fails for as long as the process lives, and each later close panics. So it is
/// made at the start, when there are some.
fn make_runtime_of_client() {
    let outside = std::thread::spawn(|| drop(async_compat::Compat::new(())));
    if outside.join().is_err() {
        warn!(
            "the broker's client could not make its runtime: lost connections will be reported as panics"
        );
    }
}
