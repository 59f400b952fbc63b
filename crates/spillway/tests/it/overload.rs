//! More than the door can take: it takes what it can, and refuses the rest in time.

use crate::queues::all_drained;
use crate::usage::Usage;
use chaos::sender::{Answers, Event};
use chaos::system::{Corner, Servers, audit};
use reqwest::StatusCode;
use std::time::{Duration, Instant};
use testkit::{Proxy, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends on time whatever became of those before: an open loop. Hands back the slowest answer as well.
async fn open_loop(url: &str, per_second: u32, many: usize) -> (Answers, Duration) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut sending = Vec::new();
    for number in 0..many {
        ticks.tick().await;
        let (id, url) = (format!("open_{number}"), url.to_owned());
        sending.push(tokio::spawn(async move {
            let started = Instant::now();
            let status = Event::payment(&id).send(&url).await.status();
            (id, status, started.elapsed())
        }));
    }
    let (mut answers, mut slowest) = (Answers::default(), Duration::ZERO);
    for sent in sending {
        let (id, status, took) = sent.await.unwrap();
        slowest = slowest.max(took);
        answers.sent.insert(id.clone());
        match status {
            StatusCode::OK => drop(answers.accepted.insert(id)),
            StatusCode::SERVICE_UNAVAILABLE => {}
            other => answers.surprising.push(format!("{id}: {other}")),
        }
    }
    (answers, slowest)
}

/// Little room, so that a test's machine can fill it: at a fifth of a second for each, 80 events a second.
const LITTLE_ROOM: &str = "[ingest]\nrequests_max = 16\n";

#[tokio::test(flavor = "multi_thread")]
async fn at_five_times_its_capacity_the_door_refuses_the_rest_in_time() {
    let corner = Corner::new().await;
    let broker = Proxy::before(&corner.servers.broker).await.unwrap();
    let far = Servers {
        broker: broker.url().to_owned(),
        ..corner.servers.clone()
    };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("spillway.toml");
    std::fs::write(&config, LITTLE_ROOM).unwrap();
    let path = config.to_str().unwrap();
    let ingest = far.ingest_with("SPILLWAY_CONFIG", path).await;
    let _worker = corner.servers.worker().await;
    let before = Usage::of(&ingest);
    broker.delay(Duration::from_millis(100));
    let (mut answers, slowest) = open_loop(&ingest.url, 400, 1_600).await;
    broker.pass();
    let refused = answers.sent.len() - answers.accepted.len();
    assert!(refused > 0, "that was not too much");
    assert!(
        slowest < Duration::from_secs(1),
        "an answer took {slowest:?}"
    );
    println!("{refused} refused, the slowest answer took {slowest:?}");
    wait_until("events are taken again", PATIENCE, async || {
        let again = Event::payment("evt_again").send(&ingest.url).await;
        again.status() == 200
    })
    .await;
    answers.sent.insert("evt_again".to_owned());
    audit(&corner.servers.books(), &answers).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
    before.is_again_that_of(&ingest).await;
}
