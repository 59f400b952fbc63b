//! Senders that mean harm, or are broken: endless, lying and hasty ones. They cost themselves their connections and
//! nobody else anything. `slow.rs` and `smuggling.rs` have more of them.

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
pub struct Bystander {
    stop: CancellationToken,
    sending: JoinHandle<(Answers, Vec<Duration>)>,
}

/// Sends one event after the other, as long as it is told to; how long each of its answers took, the slowest last.
pub async fn sends(
    name: &str,
    url: &str,
    goes_on: impl Fn(usize) -> bool,
) -> (Answers, Vec<Duration>) {
    let (mut answers, mut times) = (Answers::default(), Vec::new());
    while goes_on(times.len()) {
        let id = format!("{name}_{}", times.len());
        let started = Instant::now();
        let status = Event::payment(&id).send(url).await.status();
        assert_eq!(status, 200, "{id}");
        times.push(started.elapsed());
        answers.sent.insert(id.clone());
        answers.accepted.insert(id);
    }
    times.sort_unstable();
    (answers, times)
}

impl Bystander {
    pub fn start(url: &str) -> Self {
        let (url, stop) = (url.to_owned(), CancellationToken::new());
        let stopped = stop.clone();
        let sending =
            tokio::spawn(
                async move { sends("bystander", &url, |_| !stopped.is_cancelled()).await },
            );
        Self { stop, sending }
    }

    /// What it was told: 200 each time, and in time.
    async fn stop(self) -> Answers {
        let (answers, times) = self.times().await;
        let slowest = times.last().copied().unwrap_or_default();
        assert!(
            slowest < Duration::from_secs(1),
            "a bystander waited {slowest:?}"
        );
        answers
    }

    /// The same, and how long it waited.
    pub async fn times(self) -> (Answers, Vec<Duration>) {
        self.stop.cancel();
        self.sending.await.unwrap()
    }
}

/// What comes in while `hostile` is at work is answered and applied, and nothing else is stored.
pub async fn harms_nobody(hostile: impl AsyncFnOnce(&Node)) {
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
pub async fn at_once<F: Future<Output = ()> + Send + 'static>(
    many: usize,
    one: impl Fn(usize) -> F,
) {
    let all: Vec<_> = (0..many).map(|number| tokio::spawn(one(number))).collect();
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_refused_once_it_is_too_large() {
    harms_nobody(async |ingest: &Node| {
        // Were one kept, ten times twenty would show.
        for _ in 0..10 {
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
        }
        let refused = r#"spillway_ingest_requests_total{outcome="too_large",source="default"}"#;
        assert_eq!(ingest.metric(refused).await, 200.0);
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

/// Whether a sender goes on listening only, once it has sent everything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    Open,
    /// As one does who has nothing to say any more. The library answers only what it can at once.
    HalfOpen,
}

/// Everything the door says to these bytes until it hangs up.
pub async fn answer_to(url: &str, bytes: &[u8], stays: Stays) -> String {
    let raw = Raw::connect(url).await;
    let (mut reading, mut writing) = raw.0.into_split();
    // The door may hang up before it has read all, and has said why by then.
    let write = async {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut writing, bytes).await;
        if stays == Stays::HalfOpen {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut writing).await;
        }
    };
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut reading, &mut buffer)
            .await
            .inspect(|read| answer.extend_from_slice(&buffer[..*read]))
        {}
    };
    let both = async { tokio::join!(write, read) };
    let ended = tokio::time::timeout(PATIENCE, both).await;
    ended.expect("the door does not hang up");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_values_of_a_well_formed_request_are_refused() {
    harms_nobody(async |ingest: &Node| {
        let event = Event::payment("evt_strange");
        let length = format!("content-length: {}\r\n", event.body.len());
        let honest = head(&event, &length);
        let with_id = |id: &[u8]| {
            let (before, after) = honest.split_once("evt_strange").unwrap();
            [before.as_bytes(), id, after.as_bytes()].concat()
        };
        for (id, expected) in [
            (b"evt \xff\xfe".to_vec(), 400),
            ("evt_\u{fc}".into(), 400),
            (b"evt strange".to_vec(), 400),
            (vec![b'i'; 256], 400),
            (vec![b'i'; 4096], 400),
            (Vec::new(), 400),
        ] {
            let request = [with_id(&id), event.body.clone()].concat();
            let mut raw = Raw::connect(&ingest.url).await;
            raw.write(&request).await;
            assert_eq!(raw.status().await, Some(expected), "{id:?}");
        }
        for (framing, expected) in [
            ("content-encoding: gzip\r\n", 415),
            ("content-encoding: identity, gzip\r\n", 415),
            // Whoever waits to be told to go on is told, and then has sent nothing.
            ("expect: 100-continue\r\n", 400),
        ] {
            let mut raw = Raw::connect(&ingest.url).await;
            raw.write(head(&event, &format!("{length}{framing}"))).await;
            tokio::io::AsyncWriteExt::shutdown(&mut raw.0)
                .await
                .unwrap();
            let answer = raw.answer().await;
            let last = answer.rsplit("HTTP/1.1 ").next().unwrap();
            assert!(
                last.starts_with(&expected.to_string()),
                "{framing}: {answer}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_crumbs_is_read_like_any_other() {
    const CRUMBS: usize = 20_000;
    harms_nobody(async |ingest: &Node| {
        at_once(10, |_| {
            let url = ingest.url.clone();
            async move {
                let mut raw = Raw::connect(&url).await;
                let event = Event::payment("evt_crumbs");
                raw.write(head(&event, "transfer-encoding: chunked\r\n"))
                    .await;
                raw.write("1\r\nx\r\n".repeat(CRUMBS)).await;
                raw.write("0\r\n\r\n").await;
                assert_eq!(raw.status().await, Some(403));
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_are_answered_in_a_row() {
    const MANY: usize = 300;
    harms_nobody(async |ingest: &Node| {
        at_once(10, |_| {
            let url = ingest.url.clone();
            async move {
                let event = Event::payment("evt_row");
                let length = event.body.len();
                let body = "x".repeat(length);
                let last = head(
                    &event,
                    &format!("content-length: {length}\r\nconnection: close\r\n"),
                );
                let one = format!("{}{body}", honest_head(&event));
                let all = format!("{}{last}{body}", one.repeat(MANY - 1));
                let answer = answer_to(&url, all.as_bytes(), Stays::Open).await;
                assert_eq!(answer.matches("HTTP/1.1 403 ").count(), MANY);
                assert_eq!(answer.matches("HTTP/1.1 ").count(), MANY);
            }
        })
        .await;
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
