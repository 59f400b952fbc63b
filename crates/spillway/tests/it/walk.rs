//! The way of the data: a signed webhook becomes exactly one row.

use chaos::books::Books;
use chaos::sender::{Event, SECRET, now};
use chaos::system::{Corner, Node, serve};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use testkit::wait_until;

const BODY: &str = r#"{"orderId":"order_999","amount":9999,"status":"completed"}"#;
const PATIENCE: Duration = Duration::from_secs(30);

/// Signers that are not our code, each a shell command; `$BODY`, `$TIME` and `$SECRET` are given.
const SIGNERS: [(&str, &str, &str); 3] = [
    (
        "openssl",
        "sh",
        r#"printf '%s.%s' "$TIME" "$BODY" | openssl dgst -sha256 -hmac "$SECRET" | sed 's/.*= *//'"#,
    ),
    (
        "python",
        "sh",
        r#"python3 -c "import hmac,hashlib,os;e=os.environb;print(hmac.new(e[b'SECRET'],e[b'TIME']+b'.'+e[b'BODY'],hashlib.sha256).hexdigest())""#,
    ),
    (
        "node",
        "sh",
        r#"node -e "const e=process.env;console.log(require('crypto').createHmac('sha256',e.SECRET).update(e.TIME+'.'+JSON.stringify(JSON.parse(e.BODY))).digest('hex'))""#,
    ),
];

fn signed_elsewhere(signer: &str, id: &str) -> Option<Event> {
    let (name, shell, script) = SIGNERS
        .into_iter()
        .find(|(name, ..)| *name == signer)
        .unwrap();
    let program = if name == "python" { "python3" } else { name };
    let there = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .unwrap();
    if !there.status.success() {
        println!("{program} is not on this machine: its signature is not checked");
        return None;
    }
    let timestamp = now().to_string();
    let output = Command::new(shell)
        .args(["-c", script])
        .envs([
            ("TIME", timestamp.as_str()),
            ("BODY", BODY),
            ("SECRET", SECRET),
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let digits = String::from_utf8(output.stdout).unwrap();
    let signature = format!("sha256={}", digits.trim());
    Some(Event {
        id: id.to_owned(),
        timestamp,
        signature,
        body: BODY.into(),
    })
}

async fn rows(books: &Books) -> [usize; 3] {
    [
        books.count("processed_webhooks").await,
        books.count("payments").await,
        books.count("orders").await,
    ]
}

async fn the_sample_is_one_row(url: &str, books: &Books) {
    let event = signed_elsewhere("openssl", "evt_12345").expect("openssl is part of every Debian");
    for _ in 0..2 {
        let answer = event.send(url).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        let text = answer.text().await.unwrap();
        assert_eq!(
            text,
            r#"{"message":"Event received and queued","eventId":"evt_12345"}"#
        );
        wait_until("it is applied", PATIENCE, async || {
            rows(books).await == [1, 1, 1]
        })
        .await;
    }
    assert_eq!(books.payload("evt_12345").await.unwrap(), BODY.as_bytes());
    let order = "SELECT status, CAST(amount AS text), CAST(applied_events AS text) FROM orders";
    assert_eq!(
        books.query(order).await.unwrap(),
        [["completed", "9999", "1"]]
    );
    for (signer, ..) in SIGNERS {
        if let Some(event) = signed_elsewhere(signer, "evt_12345") {
            assert_eq!(event.send(url).await.status(), 200, "{signer}");
        }
    }
    // A later event, and with it everything before it, has been dealt with: still one row of the first.
    Event::payment("evt_last").send(url).await;
    wait_until("the last is applied", PATIENCE, async || {
        books.payments().await.contains_key("evt_last")
    })
    .await;
    assert_eq!(books.payments().await["evt_12345"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_becomes_one_row_with_no_server_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    the_sample_is_one_row(&node.url, &books).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_becomes_one_row_on_real_servers() {
    let corner = Corner::new().await;
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    the_sample_is_one_row(&ingest.url, &corner.servers.books()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_at_once_through_two_doors_and_two_workers_are_one_row() {
    let corner = Corner::new().await;
    let doors = [corner.servers.ingest().await, corner.servers.ingest().await];
    let workers = [corner.servers.worker().await, corner.servers.worker().await];
    let event = Event::payment("evt_copies");
    let copies = (0..50).map(|copy| {
        let (event, url) = (event.clone(), doors[copy % 2].url.clone());
        tokio::spawn(async move { event.send(&url).await.status() })
    });
    for copy in copies.collect::<Vec<_>>() {
        assert_eq!(copy.await.unwrap(), 200);
    }
    acked(&workers, 50).await;
    assert_eq!(rows(&corner.servers.books()).await, [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_waiting_before_any_worker_ran_are_one_row() {
    let corner = Corner::new().await;
    // No worker yet: they lie in the queue, and the first batch is all of them. Nor has one ever run, so
    // this also shows that the door alone makes a topology in which nothing is unroutable.
    let ingest = corner.servers.ingest().await;
    let event = Event::payment("evt_copies");
    for _ in 0..50 {
        assert_eq!(event.send(&ingest.url).await.status(), 200);
    }
    wait_until("all are in the queue", PATIENCE, async || {
        corner
            .vhost
            .ready("spillway.payments")
            .await
            .is_ok_and(|ready| ready == 50)
    })
    .await;
    let worker = corner.servers.worker().await;
    acked(std::slice::from_ref(&worker), 50).await;
    assert_eq!(rows(&corner.servers.books()).await, [1, 1, 1]);
    let endings = |outcome| {
        format!(r#"spillway_worker_events_total{{outcome="{outcome}",pipeline="payments"}}"#)
    };
    assert_eq!(worker.metric(&endings("applied")).await, 1.0);
    assert_eq!(worker.metric(&endings("duplicate")).await, 49.0);
}

/// Every one of so many deliveries has ended with an ack, in the hands of one of these workers. What the
/// management page says of the queue lags behind by half a second; this does not.
pub async fn acked(workers: &[Node], deliveries: usize) {
    let endings = |outcome| {
        format!(r#"spillway_worker_events_total{{outcome="{outcome}",pipeline="payments"}}"#)
    };
    wait_until(
        "every delivery is acked",
        Duration::from_secs(120),
        async || {
            let mut acked = 0.0;
            for worker in workers {
                acked += worker.metric(&endings("applied")).await
                    + worker.metric(&endings("duplicate")).await;
            }
            acked >= deliveries as f64
        },
    )
    .await;
}

/// The queue is empty, and nothing is in anybody's hands: at every look for longer than the broker's
/// figures are old (it counts twice a second).
pub async fn drained(corner: &Corner) {
    let queue = format!("queues/{}/spillway.payments", corner.vhost.name());
    let since = Mutex::new(None);
    wait_until("the queue is drained", PATIENCE, async || {
        let parked = corner
            .vhost
            .ready("spillway.payments.retry.1s")
            .await
            .unwrap_or(1);
        let depth = corner.vhost.management().get(&queue).await.ok();
        let messages = depth.and_then(|depth| depth["messages"].as_u64());
        let mut since = since.lock().unwrap();
        if parked > 0 || messages != Some(0) {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(1_500)
    })
    .await;
}
