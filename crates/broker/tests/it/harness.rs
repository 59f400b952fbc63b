//! What the suite needs of an implementation, and the words the tests are written in.

use broker::{
    Broker, BrokerUrl, Confirmed, Consumer, Content, Delivery, Destination, Journal, LaneState,
    Pipeline, PublishError, Publisher, QueueName, Settings, SourceFilter, Topology,
};
use bytes::Bytes;
use envelope::{Attempt, Envelope, PipelineName, UnixMicros, Wire};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine; it only bounds a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// An empty broker of one kind, to start sessions with and to look into from outside.
pub trait Harness: Sized {
    /// How a program holds it.
    type Client: Client;

    /// An empty one of its own.
    async fn new() -> Self;

    /// Connects, as a program does.
    fn connect(&self, stop: CancellationToken) -> Self::Client;

    /// Puts something that is not of ours into a queue.
    async fn inject(&self, queue: &QueueName, wire: Wire, body: Bytes);

    /// A program begins to use it. A second one, once the first has stopped, is a restart.
    async fn start(&self) -> Session<Self::Client> {
        let stop = CancellationToken::new();
        let broker = self.connect(stop.clone());
        timeout(DEADLINE, broker.ready()).await.unwrap();
        becomes_up(&broker.publisher()).await;
        Session { broker, stop }
    }
}

/// What a program holds of a broker.
pub trait Client: Clone {
    fn publisher(&self) -> Publisher;
    fn consumer(&self, queue: QueueName, prefetch: u16) -> Consumer;
    async fn ready(&self);
    async fn stopped(&self);
}

impl Client for Broker {
    fn publisher(&self) -> Publisher {
        self.publisher()
    }

    fn consumer(&self, queue: QueueName, prefetch: u16) -> Consumer {
        self.consumer(queue, prefetch)
    }

    async fn ready(&self) {
        self.ready().await.unwrap();
    }

    async fn stopped(&self) {
        self.stopped().await;
    }
}

/// Connects to a real one.
pub fn connect(url: &BrokerUrl, stop: CancellationToken) -> Broker {
    // No test here kills its broker, so new queues need not be waited for.
    let settings = Settings {
        settle_new_queues: Duration::ZERO,
        ..Settings::of("conformance")
    };
    Broker::start(url, &topology(), settings, stop).unwrap()
}

/// A program's use of a broker.
pub struct Session<C> {
    pub broker: C,
    pub stop: CancellationToken,
}

impl<C: Client> Session<C> {
    pub async fn publish(
        &self,
        to: Destination,
        envelope: Envelope,
    ) -> Result<Confirmed, PublishError> {
        let publisher = self.broker.publisher();
        let verdict = publisher.publish(to, envelope);
        timeout(DEADLINE, verdict).await.expect("a verdict")
    }

    /// Publishes events of the source `default` with these ids, each after the one before.
    pub async fn publish_all(&self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            let envelope = event(&id.to_string(), "default");
            let _confirmed = self.publish(Destination::Events, envelope).await.unwrap();
        }
    }

    pub fn consumer(&self, queue: QueueName) -> Consumer {
        self.broker.consumer(queue, 64)
    }

    pub async fn stop(self) {
        self.stop.cancel();
        let stopped = timeout(DEADLINE, self.broker.stopped()).await;
        stopped.expect("the broker stops");
    }
}

/// `payments` takes the sources `default` and `stripe`, `audit` takes `stripe`, nobody takes any other.
pub fn topology() -> Topology {
    let pipeline = |name: &str, sources: &[&str]| Pipeline {
        name: name.parse().unwrap(),
        sources: SourceFilter::Only(sources.iter().map(|name| name.parse().unwrap()).collect()),
    };
    Topology {
        sources: Vec::new(),
        pipelines: vec![
            pipeline("payments", &["default", "stripe"]),
            pipeline("audit", &["stripe"]),
        ],
        journal: Some(Journal::default()),
    }
}

pub fn payments() -> PipelineName {
    "payments".parse().unwrap()
}

pub fn main_queue() -> QueueName {
    QueueName::main(&payments())
}

pub fn event(id: &str, source: &str) -> Envelope {
    Envelope {
        event_id: id.parse().unwrap(),
        source: source.parse().unwrap(),
        body: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
        content_type: None,
        received_at: UnixMicros(1_763_900_000_123_456),
        signed_at: None,
        signature_digest: None,
        attempt: Attempt::FIRST,
        parked: 0,
        replays: 0,
        note: None,
        traceparent: None,
    }
}

/// Waits until events are taken.
pub async fn becomes_up(publisher: &Publisher) {
    let up = async {
        while publisher.state() != LaneState::Up {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, up).await.expect("a lane that is up");
}

/// The next `count` deliveries, in the order they come.
pub async fn take(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let missing = count - taken.len();
        let batch = timeout(DEADLINE, consumer.next_batch(missing)).await;
        taken.extend(batch.expect("a delivery").expect("an open consumer"));
    }
    taken
}

/// The next delivery.
pub async fn take_one(consumer: &mut Consumer) -> Delivery {
    take(consumer, 1).await.remove(0)
}

/// Whether nothing more comes for a while: long enough for what is wrongly there to show.
pub async fn is_silent(consumer: &mut Consumer) -> bool {
    let while_ = Duration::from_millis(300);
    timeout(while_, consumer.next_batch(1)).await.is_err()
}

pub async fn close(consumer: Consumer) {
    let closed = timeout(DEADLINE, consumer.close()).await;
    closed.expect("the consumer closes");
}

pub fn envelope(delivery: &Delivery) -> &Envelope {
    match &delivery.content {
        Content::Event(envelope) => envelope,
        Content::Foreign { why, .. } => panic!("an event of ours is foreign: {why}"),
    }
}

pub fn id(delivery: &Delivery) -> u32 {
    envelope(delivery).event_id.as_str().parse().unwrap()
}

/// The ids, in ascending order: what came, whatever the order.
pub fn ids(deliveries: &[Delivery]) -> Vec<u32> {
    let mut ids: Vec<_> = deliveries.iter().map(id).collect();
    ids.sort_unstable();
    ids
}

pub fn ack_all(deliveries: Vec<Delivery>) {
    deliveries
        .into_iter()
        .for_each(|delivery| delivery.receipt.ack());
}
