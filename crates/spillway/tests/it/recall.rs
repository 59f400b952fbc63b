//! Redis is a hint (I4): frozen, paused, emptied, full or wrong, it changes how fast events are applied and
//! never which.

use crate::walk::{acked, drained};
use chaos::sender::{Event, Flow};
use chaos::system::{Corner, Node, Servers, audit};
use envelope::Key;
use std::time::Duration;
use testkit::{Redis, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: usize = 4;
const MORE: usize = 100;

/// One command in Redis' inline form.
async fn tell(url: &str, command: &str) -> String {
    let address = url.strip_prefix("redis://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let line = format!("{command}\r\n");
    stream.write_all(line.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let bytes = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..bytes]).into_owned()
}

/// How many claims ended so.
async fn claims(worker: &Node, result: &str) -> f64 {
    let sample = format!(r#"spillway_dedupe_total{{result="{result}"}}"#);
    worker.metric(&sample).await
}

async fn more_claims(worker: &Node, result: &str) {
    let before = claims(worker, result).await;
    wait_until("claims end so", PATIENCE, async || {
        claims(worker, result).await > before
    })
    .await;
}

/// Events flow before, during and after a fault of a Redis that is this test's to break.
async fn costs_only_speed(
    name: &str,
    fault: impl AsyncFnOnce(&mut Redis),
    healed: impl AsyncFnOnce(&mut Redis),
) {
    let (corner, mut redis) = (Corner::new().await, Redis::start().await.unwrap());
    let servers = Servers {
        recall: redis.url(),
        ..corner.servers.clone()
    };
    let (ingest, worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start(name, vec![ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    fault(&mut redis).await;
    more_claims(&worker, "bypassed").await;
    flow.go_on(MORE).await;
    healed(&mut redis).await;
    more_claims(&worker, "granted").await;
    flow.go_on(MORE).await;
    audit(&servers.books(), &flow.stop().await).await;
    drained(&corner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_gone_around_and_found_again() {
    costs_only_speed(
        "frozen",
        async |redis: &mut Redis| redis.freeze().unwrap(),
        async |redis: &mut Redis| redis.thaw().unwrap(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_told_to_pause_is_gone_around_and_found_again() {
    costs_only_speed(
        "paused",
        async |redis: &mut Redis| {
            assert_eq!(tell(&redis.url(), "CLIENT PAUSE 3000 ALL").await, "+OK\r\n");
        },
        // It ends by itself: meanwhile Redis would not even hear that it may.
        async |_: &mut Redis| {},
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_memory_is_gone_around_and_found_again() {
    costs_only_speed(
        "full",
        async |redis: &mut Redis| {
            assert_eq!(
                tell(&redis.url(), "CONFIG SET maxmemory 1mb").await,
                "+OK\r\n"
            );
        },
        async |redis: &mut Redis| {
            assert_eq!(
                tell(&redis.url(), "CONFIG SET maxmemory 0").await,
                "+OK\r\n"
            );
        },
    )
    .await;
}

/// A replica that is promoted has lost the latest claims; one that is emptied all the time has lost more.
#[tokio::test(flavor = "multi_thread")]
async fn copies_in_the_hands_of_two_workers_are_one_row_while_redis_is_emptied_under_them() {
    const EVENTS: usize = 200;
    const COPIES: usize = 4;
    let (corner, redis) = (Corner::new().await, Redis::start().await.unwrap());
    let servers = Servers {
        recall: redis.url(),
        ..corner.servers.clone()
    };
    let ingest = servers.ingest().await;
    for number in 0..EVENTS {
        let event = Event::payment(&format!("evt_{number}"));
        for _ in 0..COPIES {
            assert_eq!(event.send(&ingest.url).await.status(), 200);
        }
    }
    let url = redis.url();
    let emptying = tokio::spawn(async move {
        loop {
            assert_eq!(tell(&url, "FLUSHALL").await, "+OK\r\n");
        }
    });
    let workers = [servers.worker().await, servers.worker().await];
    acked(&workers, EVENTS * COPIES).await;
    emptying.abort();
    let books = servers.books();
    let applied = books.payments().await;
    assert_eq!(applied.len(), EVENTS);
    assert!(applied.values().all(|times| *times == 1), "{applied:?}");
    assert!(books.dead().await.is_empty());
    drained(&corner).await;
}

/// So it is where a Postgres failed over and lost a commit that Redis remembers.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_redis_calls_applied_and_the_ledger_does_not_know_is_applied() {
    let (corner, redis) = (Corner::new().await, Redis::start().await.unwrap());
    let servers = Servers {
        recall: redis.url(),
        ..corner.servers.clone()
    };
    let id = "evt_remembered";
    let key = Key::of(
        &"payments".parse().unwrap(),
        &"default".parse().unwrap(),
        &id.parse().unwrap(),
    );
    let remember = format!("SET spillway:claim:{key} done");
    assert_eq!(tell(&redis.url(), &remember).await, "+OK\r\n");
    let (ingest, worker) = (servers.ingest().await, servers.worker().await);
    let sent = Event::payment(id).send(&ingest.url).await;
    assert_eq!(sent.status(), 200);
    let books = servers.books();
    wait_until("it is applied", PATIENCE, async || {
        books.payments().await.contains_key(id)
    })
    .await;
    assert!(
        claims(&worker, "recalled").await > 0.0,
        "Redis was not asked"
    );
    drained(&corner).await;
}
