//! A broker that has run out of memory blocks publishers and not consumers.

use chaos::sender::{Event, Flow};
use chaos::system::{Corner, KILLABLE, Servers, audit};
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
    let flow = Flow::start("alarm", vec![ingest.url.clone()], 4);
    flow.go_on(100).await;
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
    let answers = flow.stop().await;

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
}
