//! `kill -9`, each while events flow: every event answered 200 is in the ledger exactly once.

use chaos::sender::Flow;
use chaos::system::{Corner, KILLABLE, Servers, audit, serve};
use testkit::{Postgres, RabbitMq};

/// Kills in one run. Each hits the flow at another point.
const KILLS: usize = 5;
/// Events accepted between two kills.
const BETWEEN: usize = 150;
const SENDERS: usize = 8;

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
        settle: KILLABLE,
        ..corner.servers.clone()
    };
    let (ingest, _worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("broker", vec![ingest.url.clone()], SENDERS);
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

/// RabbitMQ 3.10 forgets a queue, and what it confirmed into it, when it is killed within three seconds of
/// the queue's declaration; a door that opened at once lost events here.
#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_killed_right_after_its_first_200() {
    let corner = Corner::new().await;
    let mut broker = RabbitMq::start().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        settle: KILLABLE,
        ..corner.servers.clone()
    };
    let ingest = servers.ingest().await;
    let flow = Flow::start("young", vec![ingest.url.clone()], SENDERS);
    flow.go_on(1).await;
    broker.kill().unwrap();
    broker.restart().await.unwrap();
    flow.go_on(BETWEEN).await;
    let _worker = servers.worker().await;
    audit(&servers.books(), &flow.stop().await).await;
}
