//! Senders that mean harm, or are broken: endless, lying, slow and hasty ones. They cost themselves their
//! connections and nobody else anything.

use crate::queues::all_drained;
use crate::raw::{Raw, head, honest_head};
use crate::usage::Usage;
use chaos::sender::{Answers, Event};
use chaos::system::{Corner, Node, audit};
use std::time::{Duration, Instant};
use testkit::wait_until;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
const CONFIRMED: &str = r#"spillway_publish_confirms_total{verdict="confirmed"}"#;

/// A sender with manners, who is to notice nothing.
struct Bystander {
    stop: CancellationToken,
    sending: JoinHandle<(Answers, Duration)>,
}

impl Bystander {
    fn start(url: &str) -> Self {
        let (url, stop) = (url.to_owned(), CancellationToken::new());
        let stopped = stop.clone();
        let sending = tokio::spawn(async move {
            let (mut answers, mut slowest) = (Answers::default(), Duration::ZERO);
            while !stopped.is_cancelled() {
                let id = format!("bystander_{}", answers.sent.len());
                let started = Instant::now();
                let status = Event::payment(&id).send(&url).await.status();
                assert_eq!(status, 200, "{id}");
                slowest = slowest.max(started.elapsed());
                answers.sent.insert(id.clone());
                answers.accepted.insert(id);
            }
            (answers, slowest)
        });
        Self { stop, sending }
    }

    /// What it was told: 200 each time, and in time.
    async fn stop(self) -> Answers {
        self.stop.cancel();
        let (answers, slowest) = self.sending.await.unwrap();
        assert!(
            slowest < Duration::from_secs(1),
            "a bystander waited {slowest:?}"
        );
        answers
    }
}

/// What comes in while `hostile` is at work is answered and applied, and nothing else is stored.
async fn harms_nobody(hostile: impl AsyncFnOnce(&Node)) {
    let corner = Corner::new().await;
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    assert_eq!(
        Event::payment("evt_0").send(&ingest.url).await.status(),
        200
    );
    let before = Usage::of(&ingest);
    let bystander = Bystander::start(&ingest.url);
    hostile(&ingest).await;
    let mut answers = bystander.stop().await;
    answers.accepted.insert("evt_0".to_owned());
    answers.sent.insert("evt_0".to_owned());
    audit(&corner.servers.books(), &answers).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
    let stored = ingest.metric(CONFIRMED).await as usize;
    assert_eq!(stored, answers.accepted.len(), "something else was stored");
    before.is_again_that_of(&ingest).await;
}

/// Runs as many at once, and waits for all.
async fn at_once<F: Future<Output = ()> + Send + 'static>(many: usize, one: impl Fn(usize) -> F) {
    let all: Vec<_> = (0..many).map(|number| tokio::spawn(one(number))).collect();
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_refused_once_it_is_too_large() {
    harms_nobody(async |ingest: &Node| {
        at_once(20, |_| {
            let url = ingest.url.clone();
            async move {
                let mut raw = Raw::connect(&url).await;
                let event = Event::payment("evt_endless");
                raw.write(head(&event, "transfer-encoding: chunked\r\n"))
                    .await;
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                let mut chunks = 0;
                while raw.write(&chunk).await {
                    chunks += 1;
                    assert!(chunks < 1_000, "the door takes it all");
                }
                raw.is_closed().await;
            }
        })
        .await;
        let refused = r#"spillway_ingest_requests_total{outcome="too_large",source="default"}"#;
        assert_eq!(ingest.metric(refused).await, 20.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_lies_is_found_out() {
    harms_nobody(async |ingest: &Node| {
        let event = Event::payment("evt_liar");
        let length = event.body.len();
        let is = |bytes: usize| format!("content-length: {bytes}\r\n");
        let (shorter, longer) = (is(length - 1), is(length + 1));
        let huge = is(1 << 30);
        let chunked = format!("transfer-encoding: chunked\r\n{}", is(length));
        let two = format!("{}{}", is(length), is(length + 7));
        for (framing, expected) in [
            // Signed was more than this.
            (shorter.as_str(), 403),
            // The rest does not come.
            (longer.as_str(), 400),
            (huge.as_str(), 413),
            ("content-length: 18446744073709551616\r\n", 400),
            ("content-length: -1\r\n", 400),
            ("content-length: 1e2\r\n", 400),
            (two.as_str(), 400),
            // Both are a way to smuggle a second request past a proxy: the body is no chunk.
            (chunked.as_str(), 400),
            ("transfer-encoding: gzip, chunked\r\n", 400),
            // No length at all is no body at all.
            ("", 403),
        ] {
            let mut raw = Raw::connect(&ingest.url).await;
            raw.write(head(&event, framing)).await;
            raw.write(&event.body).await;
            tokio::io::AsyncWriteExt::shutdown(&mut raw.0)
                .await
                .unwrap();
            assert_eq!(raw.status().await, Some(expected), "{framing:?}");
            raw.is_closed().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_headers_are_refused() {
    harms_nobody(async |ingest: &Node| {
        at_once(20, |_| {
            let url = ingest.url.clone();
            async move {
                let mut raw = Raw::connect(&url).await;
                let event = Event::payment("evt_headers");
                let many = "x-many: y\r\n".repeat(10_000);
                raw.write(head(&event, &many)).await;
                let status = raw.status().await;
                assert!([Some(431), Some(400), None].contains(&status), "{status:?}");
                raw.is_closed().await;
            }
        })
        .await;
    })
    .await;
}

/// How slow senders are: silent, a byte of the head every second, and a byte of the body every second.
#[derive(Clone, Copy)]
enum Slow {
    Silent,
    Head,
    Body,
}

/// Connects, and takes its time until the door hangs up. How long that took.
async fn dawdle(url: &str, slow: Slow) -> Duration {
    let (mut raw, started) = (Raw::connect(url).await, Instant::now());
    let event = Event::payment("evt_slow");
    let head = honest_head(&event);
    let rest = match slow {
        Slow::Silent => Vec::new(),
        Slow::Head => head.into_bytes(),
        Slow::Body => {
            raw.write(head).await;
            event.body
        }
    };
    let (mut reading, mut writing) = raw.0.into_split();
    let drip = async {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        for byte in rest {
            second.tick().await;
            if tokio::io::AsyncWriteExt::write_all(&mut writing, &[byte])
                .await
                .is_err()
            {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let hung_up = async {
        let mut bytes = [0; 1024];
        while !matches!(
            tokio::io::AsyncReadExt::read(&mut reading, &mut bytes).await,
            Ok(0) | Err(_)
        ) {}
    };
    tokio::select! {
        () = hung_up => {}
        () = drip => {}
        () = tokio::time::sleep(PATIENCE) => {}
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_slow_senders_are_hung_up_on_and_nobody_else_waits() {
    harms_nobody(async |ingest: &Node| {
        at_once(500, |number| {
            let url = ingest.url.clone();
            async move {
                // Their deadlines, and as much again for a machine that is busy.
                let (slow, deadline) = match number % 3 {
                    0 => (Slow::Silent, Duration::from_secs(5)),
                    1 => (Slow::Head, Duration::from_secs(5)),
                    _ => (Slow::Body, Duration::from_secs(10)),
                };
                let took = dawdle(&url, slow).await;
                assert!(took < 2 * deadline, "{number}: hung up on after {took:?}");
            }
        })
        .await;
    })
    .await;
}

/// Its events may be stored or not, and each once at most.
#[tokio::test(flavor = "multi_thread")]
async fn senders_that_reset_before_the_answer_are_applied_at_most_once() {
    const HASTY: usize = 200;
    let corner = Corner::new().await;
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let before = Usage::of(&ingest);
    let bystander = Bystander::start(&ingest.url);
    at_once(HASTY, |number| {
        let url = ingest.url.clone();
        async move {
            let event = Event::payment(&format!("hasty_{number}"));
            let mut raw = Raw::connect(&url).await;
            raw.write(honest_head(&event)).await;
            raw.write(&event.body).await;
            // Without lingering a close is a reset.
            raw.0.set_zero_linger().unwrap();
        }
    })
    .await;
    let books = corner.servers.books();
    wait_until("some of them are stored", PATIENCE, async || {
        let applied = books.payments().await;
        applied.keys().any(|id| id.starts_with("hasty"))
    })
    .await;
    let mut answers = bystander.stop().await;
    let hasty = (0..HASTY).map(|number| format!("hasty_{number}"));
    answers.sent.extend(hasty);
    audit(&books, &answers).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
    before.is_again_that_of(&ingest).await;
}
