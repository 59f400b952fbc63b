//! Claims in Redis: what they say while it is there, and that nothing waits for it when it is not.

use ::redis::{AsyncCommands, Client};
use envelope::Key;
use ledger::{Claimed, Recall};
use std::time::{Duration, Instant};
use testkit::Redis;

use Claimed::{AlreadyApplied, Granted, HeldElsewhere, Unknown};

/// 50 ms, and what a machine takes to notice that is busy with other tests.
const BUDGET: Duration = Duration::from_millis(100);

/// What claims promise, kept by Redis and by the simulation's.
macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        mod redis {$(
            #[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                let (_server, recall) = super::bench().await;
                super::$promise(&recall).await;
            }
        )*}

        mod simulated {$(
            #[tokio::test]
            async fn $promise() {
                super::$promise(&sim::redis::Redis::default().recall()).await;
            }
        )*}
    };
}

promises! {
    an_event_is_claimed_by_one_worker_at_a_time,
    what_was_applied_is_remembered,
    only_ones_own_claim_is_released,
    no_keys_are_no_question_to_whoever_answers,
}

/// Asked about nothing, it answers nothing.
async fn no_keys_are_no_question_to_whoever_answers(recall: &Recall) {
    assert_eq!(recall.claim("w1", &[]).await, []);
    recall.remember(&[]).await;
    recall.release("w1", &[]).await;
    assert_eq!(recall.bypassed_total(), 0);
}

async fn bench() -> (Redis, Recall) {
    let server = Redis::start().await.unwrap();
    let recall = recall(&server);
    // The first connection may take a busy machine longer than one call may.
    answers(&recall).await;
    (server, recall)
}

fn recall(server: &Redis) -> Recall {
    Recall::redis(&server.url().parse().unwrap()).unwrap()
}

fn keys<const N: usize>(names: [&'static str; N]) -> [Key; N] {
    names.map(|name| Key::of_foreign(name.as_bytes()))
}

async fn answers(recall: &Recall) {
    let probe = keys(["probe"]);
    let granted = async || recall.claim("w0", &probe).await == [Granted];
    testkit::wait_until("redis answers", Duration::from_secs(10), granted).await;
    recall.release("w0", &probe).await;
}

/// A connection for the test's own questions.
async fn client(server: &Redis) -> ::redis::aio::MultiplexedConnection {
    let client = Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn an_event_is_claimed_by_one_worker_at_a_time(recall: &Recall) {
    let [a, b, c] = keys(["a", "b", "c"]);
    assert_eq!(recall.claim("w1", &[a, b]).await, [Granted, Granted]);
    assert_eq!(recall.claim("w2", &[c, a]).await, [Granted, HeldElsewhere]);
    assert_eq!(recall.claim("w1", &[b, c]).await, [Granted, HeldElsewhere]);
    assert_eq!(recall.bypassed_total(), 0);
}

async fn what_was_applied_is_remembered(recall: &Recall) {
    let [a, b] = keys(["a", "b"]);
    recall.claim("w1", &[a]).await;
    recall.remember(&[a]).await;
    assert_eq!(recall.claim("w2", &[a, b]).await, [AlreadyApplied, Granted]);
    // A late release of a claim that became a memory.
    recall.release("w1", &[a]).await;
    assert_eq!(recall.claim("w1", &[a]).await, [AlreadyApplied]);
}

async fn only_ones_own_claim_is_released(recall: &Recall) {
    let [a, b] = keys(["a", "b"]);
    recall.claim("w1", &[a]).await;
    recall.claim("w2", &[b]).await;
    recall.release("w1", &[a, b]).await;
    assert_eq!(recall.claim("w3", &[a, b]).await, [Granted, HeldElsewhere]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_a_memory_run_out() {
    let (server, recall) = bench().await;
    let [claimed, remembered] = keys(["claimed", "remembered"]);
    recall.claim("w1", &[claimed]).await;
    recall.remember(&[remembered]).await;
    let mut client = client(&server).await;
    let lease: i64 = client
        .pttl(format!("spillway:claim:{claimed}"))
        .await
        .unwrap();
    assert!((1..=10_000).contains(&lease), "{lease}");
    let memory: i64 = client
        .ttl(format!("spillway:claim:{remembered}"))
        .await
        .unwrap();
    assert!((800..=900).contains(&memory), "{memory}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_emptied_grants_everything_again() {
    let (server, recall) = bench().await;
    let all = keys(["a", "b"]);
    recall.claim("w1", &all[..1]).await;
    recall.remember(&all[1..]).await;
    let _: () = client(&server).await.flushall().await.unwrap();
    assert_eq!(recall.claim("w2", &all).await, [Granted, Granted]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_at_start_costs_little_and_is_found_later() {
    let mut server = Redis::start().await.unwrap();
    server.kill().unwrap();
    let recall = recall(&server);
    let all = keys(["a", "b", "c"]);
    assert_eq!(recall.claim("w1", &all).await, [Unknown; 3]);
    assert_eq!(recall.bypassed_total(), 3);
    server.restart().await.unwrap();
    answers(&recall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_costs_fifty_milliseconds_a_few_times_and_then_nothing() {
    let (mut server, recall) = bench().await;
    let all = keys(["a"]);
    server.freeze().unwrap();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        assert_eq!(recall.claim("w1", &all).await, [Unknown]);
        waits.push(started.elapsed());
    }
    // The shortest: the others may have waited for the machine as well.
    assert!(waits.iter().min() < Some(&BUDGET), "{waits:?}");
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(recall.claim("w1", &all).await, [Unknown]);
        recall.remember(&all).await;
        recall.release("w1", &all).await;
    }
    // Three hundred calls, in less than fifty of them would have waited.
    assert!(started.elapsed() < BUDGET * 25, "{:?}", started.elapsed());
    assert_eq!(recall.bypassed_total(), 105);
    server.thaw().unwrap();
    answers(&recall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_killed_is_found_again() {
    let (mut server, recall) = bench().await;
    server.kill().unwrap();
    assert_eq!(recall.claim("w1", &keys(["a"])).await, [Unknown]);
    server.restart().await.unwrap();
    answers(&recall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_us_at_first_is_found_once_it_does_not() {
    let (server, _) = bench().await;
    let mut client = client(&server).await;
    let with_password = server.url().replace("redis://", "redis://:secret@");
    let recall = Recall::redis(&with_password.parse().unwrap()).unwrap();
    // AUTH is answered with an error that is not about I/O.
    assert_eq!(recall.claim("w1", &keys(["a"])).await, [Unknown]);
    let _: () = ::redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "secret"])
        .query_async(&mut client)
        .await
        .unwrap();
    answers(&recall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_redis_nothing_is_known_and_nothing_counts_as_bypassed() {
    let recall = Recall::none();
    assert_eq!(recall.claim("w1", &keys(["a", "b"])).await, [Unknown; 2]);
    assert_eq!(recall.bypassed_total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_keys_are_no_question() {
    let mut server = Redis::start().await.unwrap();
    server.kill().unwrap();
    let recall = recall(&server);
    assert_eq!(recall.claim("w1", &[]).await, []);
    recall.remember(&[]).await;
    recall.release("w1", &[]).await;
}
