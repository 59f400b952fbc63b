//! Events that wait for their next try lie in queues that expire. The broker moves them back by itself, and
//! what it has confirmed there it may not lose on the way.

use crate::queues::{DEFAULT_VHOST, all_drained};
use broker::{
    Broker, Destination, Pipeline, Publisher, QueueName, Settings, SourceFilter, Topology,
};
use chaos::sender::{Answers, Event};
use chaos::system::{AT_ONCE, Corner, Servers, audit};
use envelope::{Attempt, Envelope, PipelineName, UnixMicros};
use std::time::{Duration, Instant, SystemTime};
use testkit::{RabbitMq, wait_until};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// Puts events where a worker would: into the queues in which they wait for their next try.
struct Retrier {
    pipeline: PipelineName,
    publisher: Publisher,
    stop: CancellationToken,
}

impl Retrier {
    async fn start(broker: &RabbitMq) -> Self {
        let pipeline: PipelineName = "payments".parse().unwrap();
        let topology = Topology {
            sources: vec!["default".parse().unwrap()],
            pipelines: vec![Pipeline {
                name: pipeline.clone(),
                sources: SourceFilter::All,
            }],
            journal: Some(broker::Journal::default()),
        };
        let (settings, stop) = (Settings::of("retrier"), CancellationToken::new());
        let url = broker.url().parse().unwrap();
        let broker = Broker::start(&url, &topology, settings, stop.clone()).unwrap();
        broker.ready().await.unwrap();
        Self {
            pipeline,
            publisher: broker.publisher(),
            stop,
        }
    }

    /// So many events, side by side. Which of them the broker has confirmed are obligations.
    async fn put(&self, name: &str, many: usize, delay: Duration) -> Answers {
        let queue = QueueName::retry(&self.pipeline, delay);
        let publishing: Vec<_> = (0..many)
            .map(|number| {
                let envelope = waiting(&format!("{name}_{number}"));
                let (publisher, queue) = (self.publisher.clone(), queue.clone());
                tokio::spawn(async move {
                    let id = envelope.event_id.as_str().to_owned();
                    let to = Destination::Queue(queue);
                    (id, publisher.publish(to, envelope).await.is_ok())
                })
            })
            .collect();
        let mut answers = Answers::default();
        for published in publishing {
            let (id, confirmed) = published.await.unwrap();
            answers.sent.insert(id.clone());
            if confirmed {
                answers.accepted.insert(id);
            }
        }
        answers
    }
}

impl Drop for Retrier {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An event after its first try.
fn waiting(id: &str) -> Envelope {
    Envelope {
        event_id: id.parse().unwrap(),
        source: "default".parse().unwrap(),
        body: Event::payment(id).body.into(),
        content_type: None,
        received_at: UnixMicros::from(SystemTime::now()),
        signed_at: None,
        signature_digest: None,
        attempt: Attempt::FIRST.next(),
        parked: 0,
        replays: 0,
        note: None,
        traceparent: None,
    }
}

fn servers(broker: &RabbitMq, corner: &Corner) -> Servers {
    Servers {
        broker: broker.url(),
        settle: AT_ONCE,
        ..corner.servers.clone()
    }
}

/// Each kill meets the queues while they expire: at the beginning, and when most have moved.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_while_retries_expire_has_lost_none_of_them() {
    const EVENTS: usize = 400;
    let (corner, mut broker) = (Corner::new().await, RabbitMq::start().await.unwrap());
    let retrier = Retrier::start(&broker).await;
    let mut answers = Answers::default();
    for (round, seconds) in [1.1, 1.6].into_iter().enumerate() {
        let probe = format!("probe_{round}");
        wait_until("events are taken", PATIENCE, async || {
            let taken = retrier.put(&probe, 1, Duration::from_secs(1)).await;
            !taken.accepted.is_empty()
        })
        .await;
        answers.sent.insert(format!("{probe}_0"));
        let started = Instant::now();
        for delay in [1, 1, 2] {
            let name = format!("round_{round}_{delay}_{}", answers.sent.len());
            let delay = Duration::from_secs(delay);
            answers.extend(retrier.put(&name, EVENTS, delay).await);
        }
        wait_until("they are expiring", PATIENCE, async || {
            started.elapsed() > Duration::from_secs_f64(seconds)
        })
        .await;
        broker.kill().unwrap();
        broker.restart().await.unwrap();
    }
    let least = 5 * EVENTS;
    assert!(answers.accepted.len() >= least, "the queues were not full");
    let servers = servers(&broker, &corner);
    let _worker = servers.worker().await;
    audit(&servers.books(), &answers).await;
    all_drained(broker.management(), DEFAULT_VHOST).await;
}

/// A RabbitMQ tries a transfer that nobody took again after three minutes; here after two seconds.
const IMPATIENT: &str =
    "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 2000).";

#[tokio::test(flavor = "multi_thread")]
async fn retries_whose_queue_was_deleted_wait_until_it_is_there_again() {
    const EVENTS: usize = 300;
    let (corner, broker) = (Corner::new().await, RabbitMq::start().await.unwrap());
    broker.ctl(&["eval", IMPATIENT]).await.unwrap();
    let retrier = Retrier::start(&broker).await;
    let management = broker.management();
    let main = format!("queues/{DEFAULT_VHOST}/spillway.payments");
    management.delete(&main).await.unwrap();
    let put = Instant::now();
    let answers = retrier.put("orphan", EVENTS, Duration::from_secs(1)).await;
    assert_eq!(answers.accepted.len(), EVENTS);
    // Expired, and with nowhere to go.
    wait_until("all have expired", PATIENCE, async || {
        put.elapsed() > Duration::from_secs(4)
    })
    .await;
    let retry = format!("queues/{DEFAULT_VHOST}/spillway.payments.retry.1s");
    let kept = async || management.get(&retry).await.ok()?["messages"].as_u64();
    wait_until("all are kept", PATIENCE, async || {
        kept().await == Some(EVENTS as u64)
    })
    .await;
    // Whoever consumes a queue makes it again.
    let servers = servers(&broker, &corner);
    let _worker = servers.worker().await;
    audit(&servers.books(), &answers).await;
    all_drained(management, DEFAULT_VHOST).await;
}
