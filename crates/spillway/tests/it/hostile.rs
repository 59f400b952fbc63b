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
    sending: JoinHandle<(Answers, Vec<Duration>)>,
}

/// Sends one event after the other, as long as it is told to; how long each of its answers took, the slowest last.
async fn sends(name: &str, url: &str, goes_on: impl Fn(usize) -> bool) -> (Answers, Vec<Duration>) {
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
    fn start(url: &str) -> Self {
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
    async fn times(self) -> (Answers, Vec<Duration>) {
        self.stop.cancel();
        self.sending.await.unwrap()
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

/// A second request, for whoever takes the first one's end to be elsewhere.
const SMUGGLED: &str =
    "POST /webhooks/smuggled HTTP/1.1\r\nhost: spillway\r\ncontent-length: 0\r\n\r\n";

/// How a request that is none of ours is answered.
enum Ends {
    /// With this status, and once, whatever else was sent.
    With(u16),
    /// With a status of these, or none.
    WithOneOf(&'static [u16]),
}

#[tokio::test(flavor = "multi_thread")]
async fn what_smuggles_or_confuses_is_answered_once_and_stores_nothing() {
    use Ends::{With, WithOneOf};
    let event = Event::payment("evt_smuggler");
    let length = format!("content-length: {}\r\n", event.body.len());
    let framed = |framing: &str, body: &str| format!("{}{body}{SMUGGLED}", head(&event, framing));
    let line = |line: &str| format!("{line}\r\nhost: spillway\r\n{length}\r\n{SMUGGLED}");
    let field = |field: &[u8]| {
        let start = format!("POST /webhook HTTP/1.1\r\nhost: spillway\r\n{length}");
        [start.as_bytes(), field, b"\r\n\r\n", SMUGGLED.as_bytes()].concat()
    };
    let shapes: Vec<(&str, Vec<u8>, Ends)> = vec![
        // Where a body ends.
        (
            "an unknown coding",
            framed("transfer-encoding: xchunked\r\n", "0\r\n\r\n").into(),
            With(400),
        ),
        (
            "a coding that ends with another",
            framed("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n").into(),
            With(400),
        ),
        (
            "a coding and then another",
            framed(
                "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
                "0\r\n\r\n",
            )
            .into(),
            With(400),
        ),
        (
            "a coding before a space",
            framed("transfer-encoding : chunked\r\n", "0\r\n\r\n").into(),
            With(400),
        ),
        (
            "a coding on a folded line",
            framed("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n").into(),
            With(400),
        ),
        (
            "a coding in HTTP/1.0",
            framed("transfer-encoding: chunked\r\n", "0\r\n\r\n")
                .replace("HTTP/1.1", "HTTP/1.0")
                .into(),
            With(400),
        ),
        (
            "two lengths",
            framed(&format!("{length}content-length: 0\r\n"), "").into(),
            With(400),
        ),
        (
            "two lengths on one line",
            framed("content-length: 5, 6\r\n", "").into(),
            With(400),
        ),
        (
            "a length with a sign",
            framed("content-length: +0\r\n", "").into(),
            With(400),
        ),
        (
            "a length in hexadecimal",
            framed("content-length: 0x10\r\n", "").into(),
            With(400),
        ),
        (
            "a chunk without a size",
            framed("transfer-encoding: chunked\r\n", "\r\n").into(),
            With(400),
        ),
        (
            "a chunk with a sign",
            framed("transfer-encoding: chunked\r\n", "-1\r\n").into(),
            With(400),
        ),
        (
            "a chunk of more than there are bytes",
            framed("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n").into(),
            With(400),
        ),
        (
            "a chunk longer than its size",
            framed("transfer-encoding: chunked\r\n", "1\r\nab\r\n").into(),
            With(400),
        ),
        // What a head may be.
        ("a folded line", field(b"x-folded: a\r\n b"), With(400)),
        ("a space before the colon", field(b"x-space : a"), With(400)),
        ("a line without a colon", field(b"nonsense"), With(400)),
        ("a name that is empty", field(b": a"), With(400)),
        ("a null byte in a name", field(b"x-nu\0ll: a"), With(400)),
        ("a null byte in a value", field(b"x-null: a\0b"), With(400)),
        (
            "a null byte in the path",
            line("POST /webhook\0 HTTP/1.1").into(),
            With(400),
        ),
        (
            "a carriage return in a value",
            field(b"x-return: a\rb"),
            With(400),
        ),
        (
            "bytes that are no text in the path",
            [
                b"POST /\xff\xfe HTTP/1.1\r\n\r\n".as_slice(),
                SMUGGLED.as_bytes(),
            ]
            .concat(),
            With(400),
        ),
        (
            "a header of 100 kB",
            field(&[b"x-large: ".as_slice(), &[b'y'; 100_000]].concat()),
            With(431),
        ),
        (
            "a path of 100 kB",
            line(&format!("POST /{} HTTP/1.1", "p".repeat(100_000))).into(),
            WithOneOf(&[431]),
        ),
        (
            "a header without end",
            field(&[b'x'; 100_000]),
            WithOneOf(&[400, 431]),
        ),
        // Other protocols.
        ("HTTP/0.9", b"GET /webhook\r\n\r\n".to_vec(), With(400)),
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
            WithOneOf(&[505]),
        ),
        ("HTTP/3.0", line("POST /webhook HTTP/3.0").into(), With(400)),
        ("a hello of TLS", crate::tls::hello(), With(400)),
        (
            "a greeting of SMTP",
            b"EHLO spillway\r\nMAIL FROM:<a@b>\r\n".to_vec(),
            With(400),
        ),
        ("nothing but nulls", vec![0; 4096], With(400)),
        (
            "nothing but line ends",
            b"\r\n".repeat(20_000),
            WithOneOf(&[400, 431]),
        ),
    ];
    harms_nobody(async |ingest: &Node| {
        for (shape, bytes, ends) in shapes {
            let answer = answer_to(&ingest.url, &bytes, Stays::HalfOpen).await;
            let statuses: Vec<u16> = answer
                .split("HTTP/1.1 ")
                .skip(1)
                .map(|rest| rest[..3].parse().unwrap())
                .collect();
            println!("{shape}: {statuses:?}");
            match ends {
                With(status) => assert_eq!(statuses, [status], "{shape}: {answer}"),
                WithOneOf(allowed) => {
                    let is_one = |status: &u16| allowed.contains(status);
                    assert!(
                        statuses.len() <= 1 && statuses.iter().all(is_one),
                        "{shape}: {answer}"
                    );
                }
            }
        }
    })
    .await;
}

/// Whether a sender goes on listening only, once it has sent everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    Open,
    /// As one does who has nothing to say any more. The library answers only what it can at once.
    HalfOpen,
}

/// Everything the door says to these bytes until it hangs up.
async fn answer_to(url: &str, bytes: &[u8], stays: Stays) -> String {
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

/// It sends request after request, and reads none of the answers: they fill the buffers between us.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_no_answers_is_hung_up_on() {
    const SENDERS: usize = 2;
    let (node, _books, _folder) =
        crate::admission::serve_as("[ingest]\nanswer_write_timeout = \"2s\"", "").await;
    let before = Usage::of(&node);
    at_once(SENDERS, |_| {
        let url = node.url.clone();
        async move {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            // The less it takes, the fewer it has to send.
            socket.set_recv_buffer_size(4096).unwrap();
            let stream = socket.connect(crate::raw::address(&url)).await.unwrap();
            let mut raw = Raw(stream);
            // The id stands in the answer twice.
            let id = "i".repeat(64);
            let one = format!("GET /webhook HTTP/1.1\r\nhost: a\r\nx-request-id: {id}\r\n\r\n");
            let many = one.repeat(100);
            let writing = async { while raw.write(&many).await {} };
            let ended = tokio::time::timeout(PATIENCE, writing).await;
            ended.expect("the door keeps whoever reads nothing");
        }
    })
    .await;
    before.is_again_that_of(&node).await;
    assert_eq!(
        Event::payment("evt_after").send(&node.url).await.status(),
        200
    );
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

/// How slow senders are: silent, or a byte every second of what comes first.
#[derive(Clone, Copy)]
pub enum Slow {
    Silent,
    Head,
    Body,
    /// Of the first bytes of TLS.
    Hello,
}

/// Connects, and takes its time until the door hangs up. How long that took.
pub async fn dawdle(url: &str, slow: Slow) -> Duration {
    let (mut raw, started) = (Raw::connect(url).await, Instant::now());
    let event = Event::payment("evt_slow");
    let head = honest_head(&event);
    let rest = match slow {
        Slow::Silent => Vec::new(),
        Slow::Head => head.into_bytes(),
        Slow::Hello => crate::tls::hello(),
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

/// The room for bytes is 64 MiB by default: a hundred who announce the largest body there may be, and send none of it,
/// hold none of it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_announces_much_and_sends_little_takes_nobodys_room() {
    const MANY: usize = 100;
    harms_nobody(async |ingest: &Node| {
        let event = Event::payment("evt_announced");
        let announced = head(&event, "content-length: 1048576\r\n");
        let mut all = Vec::new();
        for _ in 0..MANY {
            let mut raw = Raw::connect(&ingest.url).await;
            raw.write(&announced).await;
            raw.write("x").await;
            all.push(raw);
        }
        // The bystander has its answers meanwhile; these have theirs in the end.
        for raw in &mut all {
            assert_eq!(raw.status().await, Some(408));
        }
    })
    .await;
}

const SLOW: usize = 5_000;
/// What a connection may cost, with its request half read. Measured: 22 KiB, whichever way it is slow.
const CONNECTION_MAX_KIB: u64 = 64;

fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() - 1) * percent / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_slow_senders_cost_the_others_no_time_and_us_little_memory() {
    ops::make_room_for(2 * SLOW);
    let (corner, folder) = (Corner::new().await, tempfile::tempdir().unwrap());
    let pair = crate::tls::Pair::new();
    let config = folder.path().join("spillway.toml");
    std::fs::write(&config, crate::tls::configured(folder.path(), &pair, "")).unwrap();
    let servers = &corner.servers;
    let (ingest, _worker) = (servers.ingest().await, servers.worker().await);
    let with_tls = servers
        .ingest_with("SPILLWAY_CONFIG", config.to_str().unwrap())
        .await;
    let doors = [&ingest, &with_tls];

    let (mut answers, calm) = sends("calm", &ingest.url, |sent| sent < 300).await;
    let before = doors.map(Usage::of);
    let bystander = Bystander::start(&ingest.url);
    let slow = tokio::spawn({
        let urls = doors.map(|door| door.url.clone());
        at_once(SLOW, move |number| {
            let [plain, tls] = urls.clone();
            async move {
                // Their deadlines, and as much again and more for a machine that is busy.
                let (url, slow, deadline) = match number % 4 {
                    0 => (plain, Slow::Silent, Duration::from_secs(5)),
                    1 => (plain, Slow::Head, Duration::from_secs(5)),
                    2 => (plain, Slow::Body, Duration::from_secs(10)),
                    _ => (tls, Slow::Hello, Duration::from_secs(5)),
                };
                let took = dawdle(&url, slow).await;
                assert!(took < 3 * deadline, "{number}: hung up on after {took:?}");
            }
        })
    });
    let held = || {
        let now = doors.map(Usage::of);
        let more = |each: fn(&Usage) -> u64| -> u64 {
            let pairs = now.iter().zip(&before);
            pairs
                .map(|(now, before)| each(now).saturating_sub(each(before)))
                .sum()
        };
        (
            more(|usage| usage.descriptors as u64),
            more(|usage| usage.resident_mib),
        )
    };
    wait_until("all are connected", PATIENCE, async || {
        held().0 >= SLOW as u64 * 9 / 10
    })
    .await;
    let (connections, mebibytes) = held();
    let each = mebibytes * 1024 / connections;
    slow.await.unwrap();
    let (more, busy) = bystander.times().await;
    let (calm, busy) = (percentile(&calm, 99), percentile(&busy, 99));
    println!(
        "{connections} connections cost {each} KiB each; p99 was {calm:?}, and {busy:?} beside them"
    );
    assert!(each <= CONNECTION_MAX_KIB, "a connection costs {each} KiB");
    // Two cores are shared with five thousand senders and their doors.
    assert!(
        busy < 10 * calm + Duration::from_millis(250),
        "{calm:?} has become {busy:?}"
    );
    answers.extend(more);
    audit(&servers.books(), &answers).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
    for (before, door) in before.into_iter().zip(doors) {
        let descriptors = before.descriptors;
        wait_until("their connections are gone", PATIENCE, async || {
            Usage::of(door).descriptors <= descriptors + 6
        })
        .await;
    }
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
