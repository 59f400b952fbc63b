//! `kill -9`, each while events flow: every event answered 200 is in the ledger exactly once.

use crate::sender::Flow;
use crate::system::{Corner, Servers, audit, serve};
use std::time::{Duration, Instant};
use testkit::{Postgres, RabbitMq, wait_until};

/// Kills in one run. Each hits the flow at another point.
const KILLS: usize = 5;
/// Events accepted between two kills.
const BETWEEN: usize = 150;
const SENDERS: usize = 8;
const OF_AGE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn ingest_is_killed() {
    let corner = Corner::new().await;
    let mut ingest = corner.servers.ingest().await;
    let _worker = corner.servers.worker().await;
    let flow = Flow::start("ingest", vec![ingest.url.clone()], SENDERS);
    for _ in 0..KILLS {
        flow.go_on(BETWEEN).await;
        ingest.kill_and_restart().await;
    }
    flow.go_on(BETWEEN).await;
    audit(&corner.servers.books(), &flow.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_killed() {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let mut workers = [corner.servers.worker().await, corner.servers.worker().await];
    let flow = Flow::start("worker", vec![ingest.url.clone()], SENDERS);
    for kill in 0..KILLS * 2 {
        flow.go_on(BETWEEN).await;
        workers[kill % 2].kill_and_restart().await;
    }
    flow.go_on(BETWEEN).await;
    audit(&corner.servers.books(), &flow.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_killed() {
    let corner = Corner::new().await;
    let mut broker = RabbitMq::start().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        ..corner.servers.clone()
    };
    let (ingest, _worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("broker", vec![ingest.url.clone()], SENDERS);
    // RabbitMQ 3.10 forgets the first stream of its life for good when it is killed within about a second
    // of that stream's declaration (see the known gaps). This broker is that young.
    let born = Instant::now();
    wait_until("the broker is old enough", OF_AGE * 2, async || {
        born.elapsed() > OF_AGE
    })
    .await;
    for _ in 0..2 {
        flow.go_on(BETWEEN).await;
        broker.kill().unwrap();
        broker.restart().await.unwrap();
    }
    flow.go_on(BETWEEN).await;
    audit(&servers.books(), &flow.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_killed() {
    let corner = Corner::new().await;
    let mut postgres = Postgres::start_durable().await.unwrap();
    let database = postgres.database().await.unwrap();
    let servers = Servers {
        ledger: database.url().to_owned(),
        ..corner.servers.clone()
    };
    let (ingest, _worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("postgres", vec![ingest.url.clone()], SENDERS);
    for _ in 0..KILLS {
        flow.go_on(BETWEEN).await;
        postgres.kill().unwrap();
        // The door does not notice.
        flow.go_on(BETWEEN).await;
        postgres.restart().await.unwrap();
    }
    flow.go_on(BETWEEN).await;
    let answers = flow.stop().await;
    audit(&servers.books(), &answers).await;
    assert_eq!(
        corner.vhost.ready("spillway.payments.dead").await.unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut node, books) = serve(folder.path()).await;
    let flow = Flow::start("serve", vec![node.url.clone()], SENDERS);
    for _ in 0..KILLS {
        flow.go_on(BETWEEN).await;
        node.kill_and_restart().await;
    }
    flow.go_on(BETWEEN).await;
    audit(&books, &flow.stop().await).await;
}
