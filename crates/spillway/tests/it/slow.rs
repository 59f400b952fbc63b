//! Senders that take their time: over their requests, or over our answers. They are hung up on, and hold nobody else's
//! room until then.

use crate::hostile::{Bystander, at_once, harms_nobody, sends};
use crate::queues::all_drained;
use crate::raw::{Raw, head, honest_head};
use crate::usage::Usage;
use chaos::sender::Event;
use chaos::system::{Corner, Node, audit};
use std::time::{Duration, Instant};
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

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

/// Two requests on one connection with a pause in between: the status of each.
async fn with_a_pause(url: &str, event: &Event, pause: Duration) -> [Option<u16>; 2] {
    let mut raw = Raw::connect(url).await;
    raw.write(honest_head(event)).await;
    raw.write(&event.body).await;
    let first = raw.reply().await;
    tokio::time::sleep(pause).await;
    // Where the door has hung up, writing may fail or not.
    raw.write(honest_head(event)).await;
    raw.write(&event.body).await;
    [first, raw.reply().await]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_sender_s_connection_rests_and_a_stranger_s_is_hung_up_on() {
    let (node, _books, _folder) =
        crate::admission::serve_as("[ingest]\nheader_read_timeout = \"1s\"", "").await;
    let pause = Duration::from_secs(3);
    let event = Event::payment("evt_rests");
    let answers = with_a_pause(&node.url, &event, pause).await;
    assert_eq!(answers, [Some(200), Some(200)]);
    let forged = Event {
        signature: event.signature.chars().rev().collect(),
        ..event
    };
    let answers = with_a_pause(&node.url, &forged, pause).await;
    assert_eq!(answers, [Some(403), None]);
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
