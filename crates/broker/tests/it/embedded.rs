//! The suite over the embedded broker, and what only that one promises.

use crate::books::Books;
use crate::harness::*;
use broker::embedded::Depth;
use broker::{Broker, BrokerUrl, Destination, LaneState, PublishError, QueueName};
use bytes::Bytes;
use envelope::{UnixMicros, Wire};
use rusqlite::{Connection, params};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A file of its own.
pub struct Embedded {
    dir: TempDir,
}

impl Embedded {
    fn path(&self) -> PathBuf {
        self.dir.path().join("broker.db")
    }

    /// Another process's view of the file.
    fn other(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub fn insert(&self, queue: &QueueName, wire: &Wire, body: &[u8]) {
        let mut other = self.other();
        other.busy_timeout(DEADLINE).unwrap();
        let change = other.transaction().unwrap();
        let json = serde_json::to_string(wire).unwrap();
        let event = "INSERT INTO event (wire, body) VALUES (?1, ?2)";
        change.execute(event, params![json, body]).unwrap();
        let queued = "INSERT INTO queued (queue, event)
             SELECT id, ?2 FROM queue WHERE name = ?1";
        let event = change.last_insert_rowid();
        change
            .execute(queued, params![queue.as_str(), event])
            .unwrap();
        change.commit().unwrap();
    }

    fn rows(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        self.other()
            .query_row(&count, [], |row| row.get(0))
            .unwrap()
    }
}

impl Harness for Embedded {
    type Client = Broker;

    async fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn connect(&self, stop: CancellationToken) -> Broker {
        connect(&BrokerUrl::Embedded(self.path()), stop)
    }

    async fn inject(&self, queue: &QueueName, wire: Wire, body: Bytes) {
        self.insert(queue, &wire, &body);
    }
}

impl Books for Embedded {
    fn url(&self) -> BrokerUrl {
        BrokerUrl::Embedded(self.path())
    }

    async fn enter_foreign(&self, body: &'static [u8]) {
        let mut other = self.other();
        other.busy_timeout(DEADLINE).unwrap();
        let change = other.transaction().unwrap();
        let event = "INSERT INTO event (wire, body) VALUES ('{', ?1)";
        change.execute(event, [body]).unwrap();
        let entry = "INSERT INTO journal (event, stored_at, bytes) VALUES (?1, ?2, ?3)";
        let (event, now) = (
            change.last_insert_rowid(),
            UnixMicros::from(SystemTime::now()),
        );
        let entered = change.execute(entry, params![event, now.0, 1]);
        entered.unwrap();
        change.commit().unwrap();
    }
}

conformance!(Embedded);
books!(Embedded);

fn depth(session: &Session<Broker>) -> Depth {
    match &session.broker {
        Broker::Embedded(broker) => broker.depth(&main_queue()).unwrap(),
        Broker::Amqp(_) => unreachable!("the harness starts the embedded broker"),
    }
}

/// Waits until the broker's own thread has come so far.
async fn becomes(session: &Session<Broker>, expected: Depth) {
    let look = async {
        while depth(session) != expected {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let reached = timeout(DEADLINE, look).await;
    assert!(reached.is_ok(), "it stays at {:?}", depth(session));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_inserts_is_delivered() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    let mut consumer = session.consumer(main_queue());
    session.publish_all([1]).await;
    assert_eq!(id(&take_one(&mut consumer).await), 1);
    // The consumer waits already, and nothing in this process wakes it.
    assert!(is_silent(&mut consumer).await);
    harness.insert(&main_queue(), &event("2", "default").to_wire(), b"{}");
    let before = Instant::now();
    assert_eq!(id(&take_one(&mut consumer).await), 2);
    assert!(before.elapsed() < Duration::from_secs(1));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_event_is_committed_before_its_confirm() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    for id in 1..=20 {
        session.publish_all([id]).await;
        assert_eq!(harness.rows("queued"), i64::from(id));
    }
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_never_confirmed_and_the_broker_recovers() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    session.publish_all([1]).await;
    let other = harness.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let publisher = session.broker.publisher();
    let verdict = session
        .publish(Destination::Events, event("2", "default"))
        .await;
    assert_eq!(verdict.unwrap_err(), PublishError::Refused);
    let verdict = session
        .publish(Destination::Events, event("3", "default"))
        .await;
    assert_eq!(verdict.unwrap_err(), PublishError::Blocked);
    assert_eq!(publisher.state(), LaneState::Blocked);

    other.execute_batch("ROLLBACK").unwrap();
    becomes_up(&publisher).await;
    session.publish_all([4]).await;
    let mut consumer = session.consumer(main_queue());
    assert_eq!(ids(&take(&mut consumer, 2).await), [1, 4]);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_that_cannot_be_written_now_are_written_later() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    session.publish_all(1..=4).await;
    let mut consumer = session.consumer(main_queue());
    let taken = take(&mut consumer, 4).await;
    let other = harness.other();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ack_all(taken);
    let closing = tokio::spawn(close(consumer));
    let verdict = session
        .publish(Destination::Events, event("5", "default"))
        .await;
    // Refused along with the acks, or not even taken where those have failed before it.
    assert!(verdict.is_err());
    assert!(!closing.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    closing.await.unwrap();
    assert_eq!(depth(&session), Depth::default());
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_depth_tells_ready_unacked_and_delayed_apart() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    session.publish_all(1..=5).await;
    let to = Destination::Queue(QueueName::retry(&payments(), Duration::from_secs(16)));
    let _confirmed = session.publish(to, event("6", "default")).await.unwrap();
    let counts = |ready, unacked| Depth {
        ready,
        unacked,
        delayed: 1,
    };
    assert_eq!(depth(&session), counts(5, 0));
    let mut consumer = session.broker.consumer(main_queue(), 2);
    let mut taken = take(&mut consumer, 2).await;
    becomes(&session, counts(3, 2)).await;
    taken.remove(0).receipt.ack();
    taken.push(take_one(&mut consumer).await);
    becomes(&session, counts(2, 2)).await;
    session.stop().await;

    // Whoever looks at the file of a program that has ended sees nothing in anybody's hands.
    let session = harness.start().await;
    assert_eq!(depth(&session), counts(4, 0));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_event_comes_after_a_restart() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    let to = Destination::Queue(QueueName::retry(&payments(), Duration::from_secs(1)));
    let before = Instant::now();
    let _confirmed = session.publish(to, event("1", "default")).await.unwrap();
    session.stop().await;
    let session = harness.start().await;
    let mut consumer = session.consumer(main_queue());
    assert_eq!(id(&take_one(&mut consumer).await), 1);
    assert!(before.elapsed() >= Duration::from_secs(1));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_event_rests_before_its_consumer_gets_it_again() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    session.publish_all([1]).await;
    let mut consumer = session.consumer(main_queue());
    let before = Instant::now();
    drop(take_one(&mut consumer).await);
    let again = take_one(&mut consumer).await;
    let waited = before.elapsed();
    assert_eq!(again.delivery_count, 1);
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(2));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_event_goes_to_another_consumer_at_once() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    session.publish_all([1]).await;
    let mut first = session.consumer(main_queue());
    let taken = take_one(&mut first).await;
    let mut second = session.consumer(main_queue());
    let before = Instant::now();
    drop(taken);
    assert_eq!(id(&take_one(&mut second).await), 1);
    assert!(before.elapsed() < Duration::from_millis(500));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_consumer_gives_back_what_it_had_not_read() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    session.publish_all(1..=10).await;
    let mut first = session.consumer(main_queue());
    ack_all(take(&mut first, 1).await);
    drop(first);
    let mut second = session.consumer(main_queue());
    assert_eq!(
        ids(&take(&mut second, 9).await),
        (2..=10).collect::<Vec<_>>()
    );
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_declared_takes_nothing_and_gives_nothing() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    let gone = QueueName::main(&"gone".parse().unwrap());
    let to = Destination::Queue(gone.clone());
    let verdict = session.publish(to, event("1", "default")).await;
    assert_eq!(verdict.unwrap_err(), PublishError::Unroutable);
    let ended = timeout(DEADLINE, session.consumer(gone).next_batch(1)).await;
    assert!(ended.unwrap().is_none());
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_in_the_file_when_the_broker_has_stopped() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    session.publish_all(1..=3).await;
    session.stop().await;
    let log = harness.dir.path().join("broker.db-wal");
    assert!(std::fs::metadata(log).map_or(0, |log| log.len()) == 0);
    assert_eq!(harness.rows("journal"), 3);
}
