//! Each program dies at each place whose order is a promise, in the middle of a stream of events, and is
//! started again.

use crate::queues::all_drained;
use chaos::sender::{Answers, Event, Flow};
use chaos::system::{Corner, Node, audit};
use std::time::Duration;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: usize = 4;
const MORE: usize = 50;

/// It went by the place so often, and died there.
async fn dies(node: &mut Node) {
    let status = node.running.wait(PATIENCE).await.unwrap();
    assert!(!status.success(), "it ended by itself: {status}");
}

fn the_sixth_time(place: &str) -> String {
    format!("{place}=5*off->return")
}

async fn nothing_is_lost_or_doubled(corner: &Corner, answers: &Answers) {
    audit(&corner.servers.books(), answers).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
}

async fn a_door_dies_at(place: &str) {
    let corner = Corner::new().await;
    let dying = the_sixth_time(place);
    let mut first = corner.servers.ingest_with("FAILPOINTS", &dying).await;
    let _worker = corner.servers.worker().await;
    let flow = Flow::start("before", vec![first.url.clone()], SENDERS);
    dies(&mut first).await;
    let mut answers = flow.stop().await;
    let second = corner.servers.ingest().await;
    let flow = Flow::start("after", vec![second.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    answers.extend(flow.stop().await);
    nothing_is_lost_or_doubled(&corner, &answers).await;
}

async fn a_worker_dies_at(place: &str) {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let dying = the_sixth_time(place);
    // Ready before there is anything to die of.
    let mut first = corner.servers.worker_with("FAILPOINTS", &dying).await;
    let flow = Flow::start("flow", vec![ingest.url.clone()], SENDERS);
    dies(&mut first).await;
    let _second = corner.servers.worker().await;
    flow.go_on(MORE).await;
    nothing_is_lost_or_doubled(&corner, &flow.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_dies_before_it_publishes() {
    a_door_dies_at("ingest.before_publish").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_dies_with_the_confirm_in_its_hands() {
    a_door_dies_at("ingest.after_publish").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_its_inserts() {
    a_worker_dies_at("worker.after_insert").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_before_its_commit() {
    a_worker_dies_at("worker.before_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_its_commit() {
    a_worker_dies_at("worker.after_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_before_its_ack() {
    a_worker_dies_at("worker.before_ack").await;
}

/// The copy in the retry queue is confirmed, the original not acked: both come, and one is applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_between_the_retry_and_its_ack() {
    const EVENTS: usize = 20;
    let corner = Corner::new().await;
    let (client, connection) =
        tokio_postgres::connect(&corner.servers.ledger, tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(async { connection.await.ok() });
    let ingest = corner.servers.ingest().await;
    let dying = the_sixth_time("worker.between_retry_publish_and_ack");
    let mut first = corner.servers.worker_with("FAILPOINTS", &dying).await;
    // Every order comes before its parent, and has to be tried again.
    client
        .batch_execute(
            "CREATE TABLE known (order_id text PRIMARY KEY);
             ALTER TABLE payments ADD CONSTRAINT early FOREIGN KEY (order_id) REFERENCES known",
        )
        .await
        .unwrap();
    let mut answers = Answers::default();
    for number in 0..EVENTS {
        let id = format!("early_{number}");
        let status = Event::payment(&id).send(&ingest.url).await.status();
        assert_eq!(status, 200);
        answers.sent.insert(id.clone());
        answers.accepted.insert(id);
    }
    dies(&mut first).await;
    client
        .batch_execute("ALTER TABLE payments DROP CONSTRAINT early")
        .await
        .unwrap();
    let second = corner.servers.worker().await;
    nothing_is_lost_or_doubled(&corner, &answers).await;
    let duplicates = r#"spillway_worker_events_total{outcome="duplicate",pipeline="payments"}"#;
    assert!(second.metric(duplicates).await > 0.0, "no copy came twice");
}

const POISON: usize = 10;

/// Ten letters are archived once each, although the first archiver dies over them.
async fn an_archiver_dies_at(place: &str) {
    let corner = Corner::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (ingest, dying) = (corner.servers.ingest().await, format!("{place}=return"));
    let mut first = corner
        .servers
        .archiver_with(path, "FAILPOINTS", &dying)
        .await;
    for number in 0..POISON {
        let event = Event::new(&format!("poison_{number}"), "not json");
        assert_eq!(event.send(&ingest.url).await.status(), 200);
    }
    dies(&mut first).await;
    let _second = corner.servers.archiver(path).await;
    let books = corner.servers.books();
    wait_until("all are archived", PATIENCE, async || {
        books.count("dead_letters").await == POISON
    })
    .await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
    assert_eq!(books.dead().await.len(), POISON);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archiver_that_dies_before_its_commit() {
    an_archiver_dies_at("archive.before_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archiver_that_dies_between_its_commit_and_its_ack() {
    an_archiver_dies_at("archive.between_commit_and_ack").await;
}
