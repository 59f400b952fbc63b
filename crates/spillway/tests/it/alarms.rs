//! A broker that has run out of memory blocks publishers and not consumers.

use crate::queues::{DEFAULT_VHOST, all_drained};
use crate::usage::Usage;
use chaos::sender::{Event, Flow};
use chaos::system::{AT_ONCE, Corner, KILLABLE, Servers, audit};
use std::time::{Duration, Instant};
use testkit::{RabbitMq, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn during_an_alarm_the_answer_is_503_at_once_and_the_queue_drains() {
    let corner = Corner::new().await;
    let broker = RabbitMq::start().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        settle: KILLABLE,
        ..corner.servers.clone()
    };
    let mut ingest = servers.ingest().await;
    for number in 0..POISON {
        let poison = Event::new(&format!("poison_{number}"), "not json");
        assert_eq!(poison.send(&ingest.url).await.status(), 200);
    }
    let flow = Flow::start("alarm", vec![ingest.url.clone()], 4);
    flow.go_on(100).await;
    let before = Usage::of(&ingest);
    broker
        .ctl(&["set_vm_memory_high_watermark", "0.000001"])
        .await
        .unwrap();

    // The first publish after the alarm is what makes the broker say so; from then on nobody waits.
    wait_until("the door is shut at once", PATIENCE, async || {
        let started = Instant::now();
        let answer = Event::payment("evt_during").send(&ingest.url).await;
        answer.status() == 503 && started.elapsed() < Duration::from_millis(200)
    })
    .await;
    wait_until("many are refused", PATIENCE, async || {
        flow.sent().len() > flow.accepted() + REFUSED / 10
    })
    .await;
    let answers = flow.stop().await;
    before.is_again_that_of(&ingest).await;

    // Poison cannot be moved to its dead queue now; what is healthy is applied and acked all the same.
    let mut worker = servers.worker().await;
    let books = servers.books();
    wait_until(
        "what was accepted is applied during the alarm",
        PATIENCE,
        async || {
            let applied = books.payments().await;
            answers.accepted.iter().all(|id| applied.contains_key(id))
        },
    )
    .await;
    let queue = format!("queues/{DEFAULT_VHOST}/spillway.payments");
    wait_until("only poison is left, in hand", PATIENCE, async || {
        let queue = broker.management().get(&queue).await.ok();
        queue.is_some_and(|queue| {
            queue["messages_ready"] == 0 && queue["messages_unacknowledged"] == POISON
        })
    })
    .await;
    worker.terminate().await;
    ingest.terminate().await;

    broker
        .ctl(&["set_vm_memory_high_watermark", "0.4"])
        .await
        .unwrap();
    let (ingest, _worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("after", vec![ingest.url.clone()], 4);
    flow.go_on(50).await;
    let mut later = flow.stop().await;
    later.sent.extend(answers.sent);
    later.sent.insert("evt_during".to_owned());
    later.accepted.extend(answers.accepted);
    audit(&books, &later).await;
    each_is_one_letter(&servers, POISON).await;
}

/// A copy that was on its way when the alarm came may be stored when it ends, and another one was sent since:
/// in the dead queue an event may lie twice, and its letter is one.
async fn each_is_one_letter(servers: &Servers, events: usize) {
    let (books, _control) = (servers.books(), servers.control().await);
    wait_until("every poisoned event is a letter", PATIENCE, async || {
        books.count("dead_letters").await == events
    })
    .await;
}

/// Events that cannot be moved during an alarm.
const POISON: usize = 5;

/// Above every disk.
const NO_DISK: &str = "100000GB";
/// What a blocked door may take: refusals, and nothing that piles up.
const REFUSED: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_alarm_comes_and_goes_and_nobody_has_to_be_restarted() {
    let (corner, broker) = (Corner::new().await, RabbitMq::start().await.unwrap());
    let servers = Servers {
        broker: broker.url(),
        settle: AT_ONCE,
        ..corner.servers.clone()
    };
    let (ingest, worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("before", vec![ingest.url.clone()], 4);
    flow.go_on(100).await;
    let before = [Usage::of(&ingest), Usage::of(&worker)];
    let limit = ["set_disk_free_limit", NO_DISK];
    broker.ctl(&limit).await.unwrap();
    wait_until("the door is shut", PATIENCE, async || {
        let blocked = flow.sent().len() > flow.accepted() + REFUSED;
        blocked && ingest.running.output().contains("blocks publishers")
    })
    .await;
    let mut answers = flow.stop().await;
    // Consumers go on: what was accepted is applied during the alarm.
    audit(&servers.books(), &answers).await;
    before[0].is_again_that_of(&ingest).await;
    broker.ctl(&["set_disk_free_limit", "50MB"]).await.unwrap();
    let flow = Flow::start("after", vec![ingest.url.clone()], 4);
    flow.go_on(100).await;
    answers.extend(flow.stop().await);
    audit(&servers.books(), &answers).await;
    all_drained(broker.management(), DEFAULT_VHOST).await;
    before[0].is_again_that_of(&ingest).await;
    before[1].is_again_that_of(&worker).await;
}

/// A blocked connection does not even write its close: a stop may not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_an_alarm_takes_no_longer_than_its_deadline() {
    let (corner, broker) = (Corner::new().await, RabbitMq::start().await.unwrap());
    let servers = Servers {
        broker: broker.url(),
        settle: AT_ONCE,
        ..corner.servers.clone()
    };
    let mut ingest = servers.ingest().await;
    let poison = Event::new("evt_poison", "not json");
    assert_eq!(poison.send(&ingest.url).await.status(), 200);
    let limit = ["set_disk_free_limit", NO_DISK];
    broker.ctl(&limit).await.unwrap();
    let mut worker = servers.worker().await;
    // Two of its connections are blocked: the one on which it tells of itself, and the one to the dead queue.
    wait_until("a dead letter cannot be moved", PATIENCE, async || {
        let output = worker.running.output();
        output.matches("blocks publishers").count() >= 2
    })
    .await;
    let flow = Flow::start("during", vec![ingest.url.clone()], 4);
    wait_until("the door is shut", PATIENCE, async || {
        ingest.running.output().contains("blocks publishers")
    })
    .await;
    for node in [&mut worker, &mut ingest] {
        let started = Instant::now();
        node.terminate().await;
        let took = started.elapsed();
        assert!(took < Duration::from_secs(10), "the stop took {took:?}");
    }
    let mut answers = flow.stop().await;
    broker.ctl(&["set_disk_free_limit", "50MB"]).await.unwrap();
    let (ingest, _worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("after", vec![ingest.url.clone()], 4);
    flow.go_on(50).await;
    answers.extend(flow.stop().await);
    audit(&servers.books(), &answers).await;
    // It was kept in hand, released by the stop, and found its way after all.
    each_is_one_letter(&servers, 1).await;
}
