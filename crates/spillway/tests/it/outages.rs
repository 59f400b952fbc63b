//! A server that is away for a while.

use crate::walk::drained;
use chaos::sender::{Event, Flow};
use chaos::system::{AT_ONCE, Corner, KILLABLE, Servers, UNBOUNDED, audit, serve};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::{Postgres, RabbitMq, Redis, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn without_the_broker_the_answer_is_503_in_time_and_with_it_everything_goes_on() {
    let (mut broker, database) = (
        RabbitMq::start().await.unwrap(),
        Postgres::start().await.unwrap(),
    );
    let database = database
        .database()
        .await
        .map(|schema| (database, schema))
        .unwrap();
    let recall = testkit::redis().await.unwrap().url().to_owned();
    let servers = Servers {
        broker: broker.url(),
        ledger: database.1.url().to_owned(),
        recall,
        settle: KILLABLE,
        backlog: UNBOUNDED,
    };
    let (ingest, _worker) = (servers.ingest().await, servers.worker().await);
    assert_eq!(
        Event::payment("evt_before")
            .send(&ingest.url)
            .await
            .status(),
        200
    );

    broker.stop().await.unwrap();
    let mut refused = 0;
    for number in 0..20 {
        let started = Instant::now();
        let answer = Event::payment(&format!("evt_during_{number}"))
            .send(&ingest.url)
            .await;
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "the answer took {:?}",
            started.elapsed()
        );
        assert_eq!(
            answer.status(),
            503,
            "nothing is there that could have stored it"
        );
        assert!(answer.headers().contains_key("retry-after"));
        refused += 1;
    }
    assert!(
        ingest.is_ready().await,
        "an ingest whose broker is away still answers"
    );
    let away = r#"spillway_ingest_requests_total{outcome="broker_away",source="default"}"#;
    assert_eq!(ingest.metric(away).await, f64::from(refused));

    broker.restart().await.unwrap();
    wait_until("events are taken again", PATIENCE, async || {
        Event::payment("evt_after").send(&ingest.url).await.status() == 200
    })
    .await;
    let books = servers.books();
    wait_until("the worker goes on", PATIENCE, async || {
        let applied = books.payments().await;
        applied.contains_key("evt_before") && applied.contains_key("evt_after")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_is_answered_for_within_the_deadline() {
    let mut broker = RabbitMq::start().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        ledger: String::new(),
        recall: String::new(),
        settle: AT_ONCE,
        backlog: UNBOUNDED,
    };
    let ingest = servers.ingest().await;
    broker.freeze().unwrap();
    for number in 0..3 {
        let started = Instant::now();
        let answer = Event::payment(&format!("evt_{number}"))
            .send(&ingest.url)
            .await;
        assert_eq!(answer.status(), 503);
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "the answer took {:?}",
            started.elapsed()
        );
    }
    broker.thaw().unwrap();
    wait_until("events are taken again", PATIENCE, async || {
        Event::payment("evt_after").send(&ingest.url).await.status() == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_changes_but_a_counter() {
    let corner = Corner::new().await;
    let mut redis = Redis::start().await.unwrap();
    let servers = Servers {
        recall: redis.url(),
        ..corner.servers.clone()
    };
    let (ingest, worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("redis", vec![ingest.url.clone()], 4);
    flow.go_on(100).await;
    let open = r#"spillway_breaker_state{dependency="redis",state="open"}"#;
    assert_eq!(worker.metric(open).await, 0.0);
    redis.kill().unwrap();
    flow.go_on(200).await;
    wait_until("its breaker is open", PATIENCE, async || {
        worker.metric(open).await == 1.0
    })
    .await;
    let answers = flow.stop().await;
    audit(&servers.books(), &answers).await;
    assert!(
        worker
            .metric(r#"spillway_dedupe_total{result="bypassed"}"#)
            .await
            > 0.0
    );
    assert!(
        worker
            .metric(r#"spillway_dedupe_total{result="granted"}"#)
            .await
            > 0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_deleted_under_load_leaves_every_event_among_the_unrouted() {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let flow = Flow::start("deleted", vec![ingest.url.clone()], 4);
    flow.go_on(100).await;
    let (vhost, management) = (corner.vhost.name(), corner.vhost.management());
    management
        .delete(&format!("queues/{vhost}/spillway.payments"))
        .await
        .unwrap();
    // What lay in the queue is the operator's who deleted it; from here on nothing may go nowhere.
    let before = flow.sent();
    flow.go_on(200).await;
    let answers = flow.stop().await;
    assert!(answers.surprising.is_empty(), "{:?}", answers.surprising);
    let later: Vec<_> = answers.accepted.difference(&before).collect();
    wait_until("each is among the unrouted", PATIENCE, async || {
        let ask =
            serde_json::json!({"count": 10_000, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let found = management
            .post(&format!("queues/{vhost}/spillway.unrouted/get"), &ask)
            .await
            .ok();
        let found = found
            .and_then(|found| found.as_array().cloned())
            .unwrap_or_default();
        let ids: BTreeSet<_> = found
            .iter()
            .filter_map(|event| event["properties"]["message_id"].as_str())
            .collect();
        later.iter().all(|id| ids.contains(id.as_str()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_that_starts_before_its_broker_waits_for_it() {
    let mut broker = RabbitMq::start().await.unwrap();
    broker.stop().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        ledger: String::new(),
        recall: String::new(),
        settle: AT_ONCE,
        backlog: UNBOUNDED,
    };
    let starting = tokio::spawn(async move { servers.ingest().await });
    broker.restart().await.unwrap();
    let ingest = starting.await.unwrap();
    assert_eq!(
        Event::payment("evt_1").send(&ingest.url).await.status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_fails_and_doubles_nothing() {
    let corner = Corner::new().await;
    let (mut ingest, mut worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let flow = Flow::start("stopped", vec![ingest.url.clone()], 4);
    flow.go_on(200).await;
    worker.terminate().await;
    flow.go_on(50).await;
    ingest.terminate().await;
    let answers = flow.stop().await;
    let _worker = corner.servers.worker().await;
    audit(&corner.servers.books(), &answers).await;
    drained(&corner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serve_that_is_stopped_under_load_fails_and_doubles_nothing() {
    const STOPS: usize = 3;
    let folder = tempfile::tempdir().unwrap();
    let (mut node, books) = serve(folder.path()).await;
    let flow = Flow::start("served", vec![node.url.clone()], 4);
    for _ in 0..STOPS {
        flow.go_on(100).await;
        node.terminate().await;
        assert!(node.restart_if_dead().await);
        node.ready().await;
    }
    flow.go_on(100).await;
    audit(&books, &flow.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_that_is_stopped_while_letters_come_leaves_the_rest_to_the_next_one() {
    const LETTERS: usize = 300;
    let corner = Corner::new().await;
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let mut first = corner.servers.control().await;
    for number in 0..LETTERS {
        let poison = Event::new(&format!("evt_{number}"), "not json");
        assert_eq!(poison.send(&ingest.url).await.status(), 200);
        if number == LETTERS / 2 {
            first.terminate().await;
        }
    }
    let _second = corner.servers.control().await;
    let books = corner.servers.books();
    wait_until("all are filed", PATIENCE, async || {
        books.count("dead_letters").await == LETTERS
    })
    .await;
    let dead = async || corner.vhost.ready("spillway.payments.dead").await.ok();
    wait_until("none is left", PATIENCE, async || dead().await == Some(0)).await;
    assert_eq!(books.dead().await.len(), LETTERS);
}

/// Longer than the 30 s for which a worker holds what it has in hand.
const AWAY: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_long_costs_no_event_an_attempt() {
    let corner = Corner::new().await;
    let mut postgres = Postgres::start().await.unwrap();
    let database = postgres.database().await.unwrap();
    let servers = Servers {
        ledger: database.url().to_owned(),
        ..corner.servers.clone()
    };
    let (ingest, worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("away", vec![ingest.url.clone()], 2);
    flow.go_on(100).await;

    postgres.stop().await.unwrap();
    let stopped = Instant::now();
    let open = r#"spillway_breaker_state{dependency="ledger",state="open"}"#;
    wait_until("the breaker opens", PATIENCE, async || {
        worker.metric(open).await > 0.0
    })
    .await;
    wait_until("the outage has lasted", AWAY * 2, async || {
        stopped.elapsed() > AWAY
    })
    .await;
    // The door does not notice, and what was in hand has gone back to the queue in one piece.
    flow.go_on(100).await;
    let queue = format!("queues/{}/spillway.payments", corner.vhost.name());
    wait_until("nobody consumes", PATIENCE, async || {
        let depth = corner.vhost.management().get(&queue).await.ok();
        depth.is_some_and(|depth| depth["consumers"] == 0 && depth["messages_unacknowledged"] == 0)
    })
    .await;

    postgres.restart().await.unwrap();
    let answers = flow.stop().await;
    assert_eq!(answers.sent, answers.accepted, "the door noticed");
    audit(&servers.books(), &answers).await;
    let attempts = "SELECT CAST(max(attempt) AS text) FROM processed_webhooks";
    assert_eq!(
        servers.books().query(attempts).await.unwrap(),
        [["1"]],
        "an outage is nobody's attempt"
    );
    assert_eq!(
        corner.vhost.ready("spillway.payments.dead").await.unwrap(),
        0
    );
    let closed = r#"spillway_breaker_state{dependency="ledger",state="closed"}"#;
    assert_eq!(worker.metric(closed).await, 1.0);
    drained(&corner).await;
    // Given back once, with the channel: a nack under an active consumer would count in the thousands.
    let depth = corner.vhost.management().get(&queue).await.unwrap();
    let redelivered = depth["message_stats"]["redeliver"].as_u64();
    assert!(redelivered <= Some(PREFETCH), "{redelivered:?} redelivered");
}

/// The default of `worker.prefetch`.
const PREFETCH: u64 = 1024;

#[tokio::test(flavor = "multi_thread")]
async fn above_the_backlog_the_door_refuses_and_what_is_inside_goes_on() {
    let corner = Corner::new().await;
    let bounded = Servers {
        backlog: "50",
        ..corner.servers.clone()
    };
    let ingest = bounded.ingest().await;
    let accepted = AtomicUsize::new(0);
    wait_until("the door has seen the depth", PATIENCE, async || {
        let id = format!("evt_{}", accepted.load(Ordering::Relaxed));
        let poison = Event::new(&id, "not json").send(&ingest.url).await;
        if poison.status() == 200 {
            accepted.fetch_add(1, Ordering::Relaxed);
        }
        poison.status() == 503 && poison.headers().contains_key("retry-after")
    })
    .await;
    let accepted = accepted.into_inner();
    assert!(accepted > 50, "refused at {accepted} already");
    // Internal publishers meet no bound: every one of these is moved to the dead queue.
    let _worker = corner.servers.worker().await;
    drained(&corner).await;
    wait_until("all are in the dead queue", PATIENCE, async || {
        let dead = corner.vhost.ready("spillway.payments.dead").await;
        dead.is_ok_and(|dead| dead as usize == accepted)
    })
    .await;
    wait_until("events are taken again", PATIENCE, async || {
        Event::payment("evt_after").send(&ingest.url).await.status() == 200
    })
    .await;
}
