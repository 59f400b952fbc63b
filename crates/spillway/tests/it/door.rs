//! What is not let in, and how its sender is told.

use chaos::sender::{Event, now};
use chaos::system::{Corner, serve};
use reqwest::{Method, Response};

const BODY: &str = r#"{"orderId":"order_1","amount":1,"status":"new"}"#;

async fn problem(answer: Response, status: u16) -> serde_json::Value {
    let (got, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    assert_eq!(got.as_u16(), status, "{text}");
    assert_eq!(headers["content-type"], "application/problem+json");
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(
        problem["requestId"],
        headers["x-request-id"].to_str().unwrap()
    );
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_is_refused_with_its_status_and_never_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    let url = node.url.as_str();

    for header in ["x-event-id", "x-timestamp", "x-signature"] {
        let event = Event::new("evt_1", BODY);
        let (mut request, mut twice) = (
            event.to(url).build().unwrap(),
            event.to(url).build().unwrap(),
        );
        let value = request.headers_mut().remove(header).unwrap();
        twice.headers_mut().append(header, value);
        for request in [request, twice] {
            let refused =
                problem(reqwest::Client::new().execute(request).await.unwrap(), 400).await;
            assert!(
                refused["detail"].as_str().unwrap().contains(header),
                "{refused}"
            );
        }
    }
    for timestamp in ["NaN", "1e9", "+17", "12345678901234567890", "17 17", "-17"] {
        problem(Event::at(timestamp, "evt_1", BODY).send(url).await, 400).await;
    }
    problem(Event::new(&"i".repeat(300), BODY).send(url).await, 400).await;

    let changed = Event {
        body: BODY.replace('1', "2").into(),
        ..Event::new("evt_1", BODY)
    };
    problem(changed.send(url).await, 403).await;
    for skew in [-301, 302] {
        let stale = Event::at(&(now() as i64 + skew).to_string(), "evt_1", BODY);
        let refused = problem(stale.send(url).await, 403).await;
        assert_eq!(
            refused["detail"],
            "The signature or its timestamp is not valid."
        );
    }

    problem(
        Event::new("evt_1", vec![b'x'; 1024 * 1024 + 1])
            .send(url)
            .await,
        413,
    )
    .await;
    problem(
        Event::new("evt_1", BODY)
            .send(&format!("{url}s/nobody"))
            .await,
        404,
    )
    .await;
    problem(
        Event::new("evt_1", BODY)
            .send(&format!("{url}s/../etc"))
            .await,
        404,
    )
    .await;
    let got = reqwest::Client::new()
        .request(Method::GET, url)
        .send()
        .await
        .unwrap();
    assert_eq!(got.headers()["allow"], "POST");
    problem(got, 405).await;
    let packed = Event::new("evt_1", BODY)
        .to(url)
        .header("content-encoding", "gzip");
    problem(packed.send().await.unwrap(), 415).await;

    // The largest body there may be is let in, and nothing else has been stored.
    assert_eq!(
        Event::new("evt_large", vec![b'x'; 1024 * 1024])
            .send(url)
            .await
            .status(),
        200
    );
    assert_eq!(Event::payment("evt_last").send(url).await.status(), 200);
    testkit::wait_until(
        "both are dealt with",
        std::time::Duration::from_secs(30),
        async || (books.payments().await.len(), books.dead().await.len()) == (1, 1),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_breaks_nobody_elses_request() {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let url = ingest.url.clone();
    let healthy = |number: usize| {
        let url = url.clone();
        tokio::spawn(async move {
            Event::payment(&format!("evt_{number}"))
                .send(&url)
                .await
                .status()
        })
    };
    // A 256-byte id panics the client library, 100 kB of headers kill the connection with everybody's
    // confirms on it: neither must get that far.
    let hostile = |number: usize| {
        let url = url.clone();
        tokio::spawn(async move {
            let event = Event::new(&"i".repeat(256 + number % 50), BODY);
            let large = event
                .to(&url)
                .header("x-large", "h".repeat(100_000))
                .send()
                .await;
            assert!(large.is_err() || large.unwrap().status().is_client_error());
            event.send(&url).await.status()
        })
    };
    let answers: Vec<_> = (0..100)
        .map(|number| (healthy(number), hostile(number)))
        .collect();
    for (healthy, hostile) in answers {
        assert_eq!(
            (
                healthy.await.unwrap().as_u16(),
                hostile.await.unwrap().as_u16()
            ),
            (200, 400)
        );
    }
    let refusals = r#"spillway_publish_confirms_total{verdict="confirmed"}"#;
    assert_eq!(ingest.metric(refusals).await, 100.0);
}
