//! More than the door can take: it takes what it can, and refuses the rest in time.

use crate::queues::all_drained;
use crate::usage::Usage;
use broker::{Broker, Destination, Pipeline, Publisher, Settings, SourceFilter, Topology};
use chaos::sender::{Answers, Event};
use chaos::system::{Corner, Servers, audit};
use envelope::{Attempt, Envelope, UnixMicros};
use reqwest::StatusCode;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};
use testkit::{Proxy, wait_until};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends on time whatever became of those before: an open loop. Hands back how long each answer took
/// as well, the slowest last.
async fn open_loop(url: &str, per_second: u32, many: usize) -> (Answers, Vec<Duration>) {
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
    let (mut answers, mut times) = (Answers::default(), Vec::new());
    for sent in sending {
        let (id, status, took) = sent.await.unwrap();
        times.push(took);
        answers.sent.insert(id.clone());
        match status {
            StatusCode::OK => drop(answers.accepted.insert(id)),
            StatusCode::SERVICE_UNAVAILABLE => {}
            other => answers.surprising.push(format!("{id}: {other}")),
        }
    }
    times.sort_unstable();
    (answers, times)
}

/// Little room, so that a test's machine can fill it: at a fifth of a second for each, 80 events a second. The sender
/// would keep its hundreds of connections for longer than we look at what the door holds.
const LITTLE_ROOM: &str = "[ingest]\nrequests_max = 16\nkeep_alive_timeout = \"5s\"\n";

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
    let (mut answers, times) = open_loop(&ingest.url, 400, 1_600).await;
    broker.pass();
    let refused = answers.sent.len() - answers.accepted.len();
    assert!(refused > 0, "that was not too much");
    // The last hundredth is the machine's: sender and door share it with whatever else runs there.
    let (nearly_all, slowest) = (times[times.len() * 99 / 100], times[times.len() - 1]);
    println!("{refused} refused, 99 of 100 answers took {nearly_all:?}, the slowest {slowest:?}");
    assert!(nearly_all < Duration::from_secs(1), "{nearly_all:?}");
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
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

/// An event that a sender waits for until its answer is due.
fn event(number: usize) -> Envelope {
    let id = format!("evt_{number}");
    Envelope {
        event_id: id.parse().unwrap(),
        source: "default".parse().unwrap(),
        body: Event::payment(&id).body.into(),
        content_type: None,
        received_at: UnixMicros::from(SystemTime::now()),
        signed_at: None,
        signature_digest: None,
        attempt: Attempt::FIRST,
        parked: 0,
        replays: 0,
        note: None,
        traceparent: None,
    }
}

async fn publisher_through(proxy: &Proxy, stop: &CancellationToken) -> Publisher {
    let topology = Topology {
        sources: vec!["default".parse().unwrap()],
        pipelines: vec![Pipeline {
            name: "payments".parse().unwrap(),
            sources: SourceFilter::All,
        }],
        journal: None,
    };
    let settings = Settings {
        settle_new_queues: Duration::ZERO,
        ..Settings::of("overload")
    };
    let url = proxy.url().parse().unwrap();
    let broker = Broker::start(&url, &topology, settings, stop.clone()).unwrap();
    broker.ready().await.unwrap();
    broker.publisher()
}

/// A broker so far away that whoever has to wait for a place in a channel first is confirmed too late. The
/// places go to those who are still in time, or all would be stored and nobody told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_in_front_of_a_slow_broker_does_not_make_every_answer_late() {
    const PER_MILLISECOND: usize = 3;
    const MILLISECONDS: usize = 5_000;
    let corner = Corner::new().await;
    let proxy = Proxy::before(&corner.servers.broker).await.unwrap();
    let stop = CancellationToken::new();
    let publisher = publisher_through(&proxy, &stop).await;
    proxy.delay(Duration::from_millis(120));
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut publishing = Vec::new();
    for number in 0..MILLISECONDS * PER_MILLISECOND {
        if number % PER_MILLISECOND == 0 {
            ticks.tick().await;
        }
        let (publisher, due) = (
            publisher.clone(),
            tokio::time::Instant::now() + Duration::from_millis(800),
        );
        publishing.push(tokio::spawn(async move {
            let published = publisher.publish_by(due, Destination::Events, event(number));
            published.await.is_ok()
        }));
    }
    let mut confirmed = 0;
    for published in publishing {
        confirmed += u64::from(published.await.unwrap());
    }
    proxy.pass();
    // What was in flight comes out late, and is counted later still.
    let stored = Mutex::new((0, Instant::now()));
    wait_until("the count stands still", PATIENCE, async || {
        let ready = corner.vhost.ready("spillway.payments").await.unwrap_or(0);
        let mut stored = stored.lock().unwrap();
        if ready != stored.0 {
            *stored = (ready, Instant::now());
        }
        stored.1.elapsed() > Duration::from_secs(2)
    })
    .await;
    stop.cancel();
    let (stored, _) = stored.into_inner().unwrap();
    println!("{stored} stored, {confirmed} of them confirmed in time");
    assert!(
        2 * confirmed > stored,
        "of {stored} stored only {confirmed} were confirmed in time"
    );
}
