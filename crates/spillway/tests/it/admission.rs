//! Who is let in: from which addresses, how often, and what the answers say of what gave them.

use crate::raw::{Raw, head, honest_head};
use chaos::books::Books;
use chaos::sender::{Event, client};
use chaos::system::{Node, serve_with};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

/// `spillway serve` with this in its file, and the test's secret for the source `default`.
pub async fn serve_as(ingest: &str, default: &str) -> (Node, Books, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("spillway.toml");
    let text = format!(
        "[secrets]\nreread_every = \"100ms\"\n{ingest}\n[sources.default]\nsecrets = [\"env:WEBHOOK_SECRET\"]\n{default}\n"
    );
    std::fs::write(&config, text).unwrap();
    let data = folder.path().join("data");
    let (node, books) = serve_with(&data, "SPILLWAY_CONFIG", config.to_str().unwrap()).await;
    (node, books, folder)
}

async fn refusals(node: &Node, outcome: &str) -> f64 {
    let sample =
        format!(r#"spillway_ingest_requests_total{{outcome="{outcome}",source="default"}}"#);
    node.metric(&sample).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_let_in_from_its_networks_only_and_only_a_trusted_proxy_is_asked_where_that_is()
{
    let proxies =
        "[ingest]\ntrusted_proxies = [\"127.0.0.1\"]\nclient_address_header = \"X-Forwarded-For\"";
    let networks = "allow_from = [\"203.0.113.0/24\", \"2001:db8::/32\"]";
    let (node, _books, _folder) = serve_as(proxies, networks).await;
    let from = async |id: &str, forwarded: &str| {
        let request = Event::payment(id).to(&node.url);
        let answer = request.header("x-forwarded-for", forwarded).send().await;
        answer.unwrap().status().as_u16()
    };
    assert_eq!(from("evt_4", "203.0.113.9").await, 200);
    assert_eq!(from("evt_6", "2001:db8::9").await, 200);
    assert_eq!(from("evt_46", "::ffff:203.0.113.9").await, 200);
    for forwarded in [
        "198.51.100.1",
        // What the sender wrote itself stands left of what the proxy has seen.
        "203.0.113.9, 198.51.100.1",
        "nonsense",
    ] {
        assert_eq!(from("evt_far", forwarded).await, 403, "{forwarded}");
    }
    // The proxy itself is not on the list.
    let plain = Event::payment("evt_near").send(&node.url).await;
    assert_eq!(plain.status(), 403);
    // Whoever is no proxy may write what it likes.
    let elsewhere =
        reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2]));
    let elsewhere = elsewhere.build().unwrap();
    let lying = Event::payment("evt_liar").by(&elsewhere, &node.url);
    let lying = lying.header("x-forwarded-for", "203.0.113.9").send().await;
    assert_eq!(lying.unwrap().status(), 403);
    // Nothing else of such a request is looked at: neither its method nor its body.
    let got = client().get(&node.url).send().await.unwrap();
    assert_eq!(got.status(), 403);
    let mut raw = Raw::connect(&node.url).await;
    raw.write(honest_head(&Event::payment("evt_bodiless")))
        .await;
    assert_eq!(raw.status().await, Some(403));

    assert_eq!(refusals(&node, "address").await, 7.0);
    assert_eq!(refusals(&node, "queued").await, 3.0);
    let output = node.running.output();
    assert!(
        output.contains("The address 198.51.100.1 is not in its allow_from"),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn above_its_rate_a_source_is_told_when_to_come_again_and_then_let_in() {
    const MANY: usize = 30;
    let (node, books, _folder) = serve_as("", "max_rate = 1\nmax_burst = 3").await;
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..MANY {
        let answer = Event::payment(&format!("evt_{number}"))
            .send(&node.url)
            .await;
        match answer.status().as_u16() {
            200 => accepted += 1,
            429 => {
                let wait = answer.headers()["retry-after"].to_str().unwrap();
                assert_eq!(wait, "1");
                refused += 1;
            }
            other => panic!("evt_{number}: {other}"),
        }
    }
    assert!(accepted >= 3 && refused > 0, "{accepted} and {refused}");
    // The limit is asked before the body is read, and nobody is limited who is nobody.
    let began = Instant::now();
    wait_until(
        "a request without its body is refused",
        PATIENCE,
        async || {
            let mut raw = Raw::connect(&node.url).await;
            raw.write(honest_head(&Event::payment("evt_bodiless")))
                .await;
            raw.status().await == Some(429)
        },
    )
    .await;
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "the body was waited for"
    );
    let nobody = Event::payment("evt_nobody")
        .send(&format!("{}s/nobody", node.url))
        .await;
    assert_eq!(nobody.status(), 404);
    wait_until("it is let in again", PATIENCE, async || {
        Event::payment("evt_again").send(&node.url).await.status() == 200
    })
    .await;
    assert!(refusals(&node, "too_often").await >= f64::from(refused));
    wait_until("what was accepted is applied", PATIENCE, async || {
        books.payments().await.len() == accepted + 1
    })
    .await;
}

/// What an answer may say: what it is, when it was given, and what to do about it.
const TOLD: [&str; 7] = [
    "allow",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "x-request-id",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_says_what_has_given_it() {
    let (node, _books, _folder) = serve_as("", "").await;
    let event = Event::payment("evt_1");
    let framing = format!(
        "content-length: {}\r\nconnection: close\r\n",
        event.body.len()
    );
    let good = format!(
        "{}{}",
        head(&event, &framing),
        String::from_utf8_lossy(&event.body)
    );
    let wrong = good.replace("completed", "confirmed");
    for (request, status) in [
        (good.as_str(), "200"),
        (wrong.as_str(), "403"),
        ("GET /webhook HTTP/1.1\r\nconnection: close\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "404"),
        // These two the library answers itself.
        ("nonsense\r\n\r\n", "400"),
        (&head(&event, &"x-many: y\r\n".repeat(200)), "431"),
    ] {
        let mut raw = Raw::connect(&node.url).await;
        raw.write(request).await;
        let answer = raw.answer().await;
        let (first, rest) = answer.split_once("\r\n").unwrap();
        assert!(
            first.starts_with(&format!("HTTP/1.1 {status} ")),
            "{first} to {request}"
        );
        let (headers, _body) = rest.split_once("\r\n\r\n").unwrap();
        for line in headers.lines() {
            let name = line.split(':').next().unwrap().to_ascii_lowercase();
            assert!(TOLD.contains(&name.as_str()), "{line}");
        }
        for word in ["hyper", "rust", "spillway"] {
            assert!(!answer.to_ascii_lowercase().contains(word), "{answer}");
        }
    }
}
