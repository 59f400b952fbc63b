//! Claims keep a storm of copies off the database's locks, and delay nobody for long.

use crate::walk::acked;
use chaos::sender::Event;
use chaos::system::Corner;
use std::time::{Duration, Instant};
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(120);
const COPIES: usize = 10_000;
const EVENTS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_copies_over_four_workers_is_one_row_each_and_queues_up_on_no_lock() {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let events: Vec<_> = (0..EVENTS)
        .map(|event| Event::payment(&format!("evt_{event}")))
        .collect();
    let senders = (0..16).map(|sender| {
        let (events, url) = (events.clone(), ingest.url.clone());
        tokio::spawn(async move {
            for copy in (sender..COPIES).step_by(16) {
                assert_eq!(events[copy % EVENTS].send(&url).await.status(), 200);
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let started = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(corner.servers.worker().await);
    }
    acked(&workers, COPIES).await;
    let took = started.elapsed();
    let books = corner.servers.books();
    assert_eq!(books.count("processed_webhooks").await, EVENTS);
    assert_eq!(books.count("payments").await, EVENTS);
    for worker in &workers {
        let contended = r#"spillway_ledger_faults_total{class="contention"}"#;
        assert_eq!(
            worker.metric(contended).await,
            0.0,
            "a worker waited for a lock"
        );
    }
    println!("{COPIES} copies of {EVENTS} events over 4 workers were settled in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_with_claims_in_hand_delays_its_events_by_two_parks_at_most() {
    let corner = Corner::new().await;
    let (ingest, mut worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let (client, connection) =
        tokio_postgres::connect(&corner.servers.ledger, tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(async { connection.await.ok() });
    // The worker gets stuck on this lock with its claims made.
    client
        .batch_execute("BEGIN; LOCK TABLE processed_webhooks IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    assert_eq!(
        Event::payment("evt_claimed")
            .send(&ingest.url)
            .await
            .status(),
        200
    );
    let granted = r#"spillway_dedupe_total{result="granted"}"#;
    wait_until("it is claimed", PATIENCE, async || {
        worker.metric(granted).await > 0.0
    })
    .await;
    worker.running.kill().unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();

    let started = Instant::now();
    let next = corner.servers.worker().await;
    let books = corner.servers.books();
    wait_until("it is applied", PATIENCE, async || {
        books.payments().await.len() == 1
    })
    .await;
    // Two parks of a second each, a worker's start, and none of the claim's ten seconds.
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    let parked = r#"spillway_worker_events_total{outcome="parked",pipeline="payments"}"#;
    assert!(next.metric(parked).await <= 2.0);
}
