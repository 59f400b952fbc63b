//! The worker over a real ledger, with deliveries handed to it one batch at a time.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod ahead;
mod breaker;
mod suspects;

use broker::{Content, Delivery, Ending, Feed, Hand, LaneState, PublishLane};
use bytes::Bytes;
use envelope::{Attempt, Envelope, SignatureDigest, UnixMicros, UnixSeconds};
use ledger::{LedgerSettings, Recall, SqliteLedger};
use prometheus::Registry;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use testkit::wait_until;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker::handlers::payments::Payments;
use worker::{Bounds, Metrics, Worker};

const PREFETCH: u16 = 256;
const PATIENCE: Duration = Duration::from_secs(10);

/// A worker whose broker is this test.
struct Bench {
    feed: Feed,
    lane: PublishLane,
    hand: Arc<Hand>,
    registry: Registry,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Bench {
    /// With a batch in its consumer before it looks for the first time: it takes all of it at once.
    async fn start(folder: &Path, batch: Vec<Envelope>) -> Self {
        let never_before = |envelope| (envelope, 0);
        Self::start_with(folder, batch.into_iter().map(never_before).collect()).await
    }

    /// Each with how often it was delivered before.
    async fn start_with(folder: &Path, batch: Vec<(Envelope, u32)>) -> Self {
        let (consumer, feed) = broker::consumer(PREFETCH);
        let (publisher, mut lanes) = broker::publisher(1, 64);
        let lane = lanes.remove(0);
        lane.set_state(LaneState::Up);
        let hand = Hand::new(|| {});
        for (tag, (envelope, count)) in (1..).zip(batch) {
            let delivery = Delivery::new(Content::Event(envelope), count, hand.clone(), tag);
            feed.deliveries.send(delivery).await.unwrap();
        }
        let registry = Registry::new();
        let pipeline = "payments".parse().unwrap();
        let metrics = Metrics::register(&registry, std::iter::empty()).unwrap();
        let events = metrics.of(&pipeline, "test");
        let ledger =
            SqliteLedger::open(&folder.join("ledger.db"), &LedgerSettings::new("test")).unwrap();
        let bounds = Bounds {
            prefetch: PREFETCH,
            batch_max: 256,
            max_rate: None,
            drain_timeout: PATIENCE,
        };
        let worker = Worker::new(
            "test".to_owned(),
            pipeline,
            ledger,
            Recall::none(),
            Payments,
            publisher,
            events,
            bounds,
        );
        let stop = CancellationToken::new();
        let consumer = Mutex::new(Some(consumer));
        let consume = move || consumer.lock().unwrap().take().expect("it consumes once");
        let running = tokio::spawn(worker.run(consume, stop.clone()));
        Self {
            feed,
            lane,
            hand,
            registry,
            stop,
            running,
        }
    }

    async fn settled(&self, count: usize) -> Vec<(u64, Ending)> {
        let mut settled = Vec::new();
        wait_until("every delivery has met its ending", PATIENCE, || {
            settled.extend(self.hand.take_settled());
            std::future::ready(settled.len() == count)
        })
        .await;
        settled
    }

    fn sample(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap();
        family.get_metric()[0].get_histogram().get_sample_count() as f64
    }

    fn faults_of_ours(&self) -> f64 {
        let families = self.registry.gather();
        let faults = families
            .iter()
            .find(|family| family.name() == "ledger_faults_total");
        let ours = faults.unwrap().get_metric().iter().find(|metric| {
            metric
                .get_label()
                .iter()
                .any(|label| label.value() == "ours")
        });
        ours.unwrap().get_counter().get_value()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.feed.close();
        self.running.await.unwrap();
    }
}

fn event(id: &str, body: &str, digest: Option<&str>) -> Envelope {
    Envelope {
        event_id: id.parse().unwrap(),
        source: "default".parse().unwrap(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        content_type: None,
        received_at: UnixMicros::from(SystemTime::now()),
        signed_at: Some(UnixSeconds(1_795_425_300)),
        signature_digest: digest.map(|text| SignatureDigest::of(&[text.as_bytes()])),
        attempt: Attempt::FIRST,
        parked: 0,
        replays: 0,
        note: None,
        traceparent: None,
    }
}

fn rows(folder: &Path, table: &str) -> i64 {
    let connection = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    connection
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get(0)
        })
        .unwrap()
}

const BODY: &str = r#"{"orderId":"o","amount":1,"status":"paid"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_inside_one_batch_are_applied_once_and_acked_fifty_times() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path(), vec![event("evt_1", BODY, Some("a")); 50]).await;
    let settled = bench.settled(50).await;
    assert!(
        settled.iter().all(|(_, ending)| *ending == Ending::Ack),
        "{settled:?}"
    );
    assert_eq!(bench.sample("batch_size"), 1.0, "they were one batch");
    for table in ["processed_webhooks", "payments", "orders"] {
        assert_eq!(rows(folder.path(), table), 1, "{table}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_acked_only_after_its_queue_has_confirmed_it() {
    let folder = tempfile::tempdir().unwrap();
    let batch = vec![
        event("evt_poison", "garbage", None),
        event("evt_good", BODY, None),
    ];
    let mut bench = Bench::start(folder.path(), batch).await;
    // The neighbour is applied and acked while the broker has not said a word about the letter.
    assert_eq!(bench.settled(1).await, [(2, Ending::Ack)]);
    let refused = bench.lane.requests.recv().await.unwrap();
    refused.refuse(broker::PublishError::Blocked);
    let again = bench.lane.requests.recv().await.unwrap();
    assert_eq!(again.envelope.note.as_ref().unwrap().reason, "not_json");
    assert!(
        bench.hand.take_settled().is_empty(),
        "erased before the confirm"
    );
    again.confirm();
    assert_eq!(bench.settled(1).await, [(1, Ending::Ack)]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_is_released_when_the_worker_stops() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(folder.path(), vec![event("evt_poison", "garbage", None)]).await;
    let waiting = bench.lane.requests.recv().await.unwrap();
    bench.stop.cancel();
    assert_eq!(bench.settled(1).await, [(1, Ending::Release)]);
    drop(waiting);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_fills_half_the_hand_and_then_nothing_more_is_read() {
    const HALF: usize = PREFETCH as usize / 2;
    let folder = tempfile::tempdir().unwrap();
    let mut batch: Vec<Envelope> = (0..=HALF)
        .map(|number| event(&format!("evt_{number}"), "garbage", None))
        .collect();
    batch.push(event("evt_healthy", BODY, None));
    let healthy = batch.len() as u64;
    let mut bench = Bench::start(folder.path(), batch).await;
    // Nobody answers these. One that was refused for want of room in the lane comes again.
    let mut waiting = BTreeMap::new();
    while waiting.len() < HALF {
        let request = bench.lane.requests.recv().await.unwrap();
        waiting.insert(request.envelope.event_id.clone(), request);
    }
    let more = timeout(Duration::from_millis(500), bench.lane.requests.recv());
    assert!(more.await.is_err(), "more than half of the hand waits");
    assert_eq!(rows(folder.path(), "payments"), 0, "it went on");
    let (_, first) = waiting.pop_first().unwrap();
    first.confirm();
    let settled = bench.settled(2).await;
    assert!(settled.contains(&(healthy, Ending::Ack)), "{settled:?}");
    drop(waiting);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_older_than_the_memory_of_what_was_applied_is_a_letter_and_never_applied() {
    let folder = tempfile::tempdir().unwrap();
    let received = |days: u64| {
        let ago = Duration::from_secs(days * 24 * 60 * 60);
        UnixMicros::from(SystemTime::now() - ago)
    };
    let aged = |id: &str, days| Envelope {
        received_at: received(days),
        ..event(id, BODY, None)
    };
    let batch = vec![aged("evt_old", 31), aged("evt_known", 29)];
    let mut bench = Bench::start(folder.path(), batch).await;
    let letter = bench.lane.requests.recv().await.unwrap();
    assert_eq!(letter.envelope.event_id.as_str(), "evt_old");
    let note = letter.envelope.note.clone().unwrap();
    assert_eq!(note.reason, "beyond_retention");
    letter.confirm();
    assert_eq!(bench.settled(2).await.len(), 2);
    assert_eq!(rows(folder.path(), "payments"), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_are_not_the_same_are_evidence_and_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let other = r#"{"orderId":"o","amount":2,"status":"paid"}"#;
    let batch = vec![
        event("evt_1", BODY, Some("a")),
        event("evt_1", other, Some("b")),
        event("evt_2", BODY, Some("a")),
    ];
    let mut bench = Bench::start(folder.path(), batch).await;
    let mut reasons = Vec::new();
    for _ in 0..2 {
        let letter = bench.lane.requests.recv().await.unwrap();
        reasons.push(letter.envelope.note.clone().unwrap().reason);
        letter.confirm();
    }
    reasons.sort_unstable();
    assert_eq!(reasons, ["conflicting_body", "replayed_signature"]);
    assert_eq!(bench.settled(3).await.len(), 3);
    assert_eq!(rows(folder.path(), "payments"), 1);
    bench.stop().await;
}
