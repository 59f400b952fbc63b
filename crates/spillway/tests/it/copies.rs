//! Copies that come late, that meet in a slow transaction, and batches of two workers that overlap.

use crate::queues::all_drained;
use crate::walk::acked;
use chaos::sender::{Event, now};
use chaos::system::{Corner, Servers};
use std::time::Duration;
use testkit::{free_port, wait_until};
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);

/// Where no Redis listens.
fn nowhere() -> String {
    format!("redis://127.0.0.1:{}", free_port())
}

async fn connect(servers: &Servers) -> Client {
    let connecting = tokio_postgres::connect(&servers.ledger, NoTls).await;
    let (client, connection) = connecting.unwrap();
    tokio::spawn(async { connection.await.ok() });
    client
}

/// The hints in Redis are long gone when such a copy comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_comes_an_hour_or_weeks_later_is_a_duplicate() {
    let corner = Corner::new().await;
    let servers = Servers {
        recall: nowhere(),
        ..corner.servers.clone()
    };
    let (ingest, worker) = (servers.ingest().await, servers.worker().await);
    let body = Event::payment("evt_late").body;
    assert_eq!(
        Event::payment("evt_late").send(&ingest.url).await.status(),
        200
    );
    let workers = [worker];
    acked(&workers, 1).await;
    let client = connect(&servers).await;
    for (copies, age) in ["1 hour", "1 day", "3 days", "29 days"].iter().enumerate() {
        let older = format!(
            "UPDATE processed_webhooks SET processed_at = now() - interval '{age}',
             received_at = now() - interval '{age}'"
        );
        assert_eq!(client.execute(&older, &[]).await.unwrap(), 1);
        // Signed anew, as providers do.
        let timestamp = (now() - copies as u64 - 1).to_string();
        let copy = Event::at(&timestamp, "evt_late", body.clone());
        assert_eq!(copy.send(&ingest.url).await.status(), 200);
        acked(&workers, copies + 2).await;
    }
    let books = servers.books();
    assert_eq!(books.payments().await, [("evt_late".to_owned(), 1)].into());
    assert!(books.dead().await.is_empty());
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
}

/// Makes each payment's transaction long enough for all its copies to arrive.
const SLOW: &str = "
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(1); RETURN NEW; END';
    CREATE TRIGGER slow BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION dawdle();";

/// Without Redis they meet at the unique row: the later ones wait for the first to commit.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_through_four_doors_that_meet_in_a_slow_transaction_are_one_row() {
    let corner = Corner::new().await;
    let servers = Servers {
        recall: nowhere(),
        ..corner.servers.clone()
    };
    let mut doors = Vec::new();
    for _ in 0..4 {
        doors.push(servers.ingest().await);
    }
    let workers = [servers.worker().await, servers.worker().await];
    connect(&servers).await.batch_execute(SLOW).await.unwrap();
    let event = Event::payment("evt_copies");
    let copies = (0..50).map(|copy| {
        let (event, url) = (event.clone(), doors[copy % 4].url.clone());
        tokio::spawn(async move { event.send(&url).await.status() })
    });
    for copy in copies.collect::<Vec<_>>() {
        assert_eq!(copy.await.unwrap(), 200);
    }
    acked(&workers, 50).await;
    let books = servers.books();
    assert_eq!(
        books.payments().await,
        [("evt_copies".to_owned(), 1)].into()
    );
    assert_eq!(books.count("processed_webhooks").await, 1);
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
}

/// Every batch writes the same few orders, and holds copies of what the other worker has: taken in any
/// order but one, their locks would be a deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_of_two_workers_never_deadlock() {
    const EVENTS: usize = 600;
    const COPIES: usize = 2;
    let corner = Corner::new().await;
    let servers = Servers {
        recall: nowhere(),
        ..corner.servers.clone()
    };
    let ingest = servers.ingest().await;
    let mut order: Vec<_> = (0..EVENTS * COPIES).map(|number| number % EVENTS).collect();
    fastrand::shuffle(&mut order);
    let senders = (0..8).map(|sender| {
        let (order, url) = (order.clone(), ingest.url.clone());
        tokio::spawn(async move {
            for number in order.iter().skip(sender).step_by(8) {
                let id = format!("evt_{number}");
                let body = format!(
                    r#"{{"id":"{id}","orderId":"order_{}","amount":7,"status":"paid"}}"#,
                    number % 7
                );
                assert_eq!(Event::new(&id, body).send(&url).await.status(), 200);
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let workers = [servers.worker().await, servers.worker().await];
    acked(&workers, EVENTS * COPIES).await;
    for worker in &workers {
        let output = worker.running.output();
        assert!(!output.contains("40P01"), "a deadlock");
    }
    let books = servers.books();
    let applied = books.payments().await;
    assert_eq!(applied.len(), EVENTS);
    assert!(applied.values().all(|times| *times == 1), "{applied:?}");
    wait_until("the orders add up", PATIENCE, async || {
        let sums = "SELECT CAST(sum(applied_events) AS text) FROM orders";
        books.query(sums).await == Some(vec![vec![EVENTS.to_string()]])
    })
    .await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
}
