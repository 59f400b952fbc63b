//! The replay guard: a captured request sent again under another event id.

use chaos::books::Books;
use chaos::sender::Event;
use chaos::system::{Node, serve_with};
use signing::schemes::spillway;
use signing::{Secret, SigningKey};
use std::path::Path;
use std::time::Duration;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);
/// Live beside the sender's own, as in the middle of a rotation.
const SECOND_SECRET: &str = "the secret that is rotated in";
/// Without an id: the signature does not cover the event's.
const BODY: &str = r#"{"orderId":"o_1","amount":7,"status":"paid"}"#;

/// A source with two live secrets and this guard, and one captured request that has been applied.
async fn with_a_captured_request(folder: &Path, guard: &str) -> (Node, Books, Event) {
    let (secret, config) = (folder.join("second"), folder.join("spillway.toml"));
    std::fs::write(&secret, SECOND_SECRET).unwrap();
    let secret = secret.display();
    let text = format!("[sources.default]\nsecrets = [\"file:{secret}\"]\n{guard}\n");
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let (node, books) = serve_with(&folder.join("data"), "SPILLWAY_CONFIG", config).await;
    let captured = Event::new("evt_honest", BODY);
    assert_eq!(captured.send(&node.url).await.status(), 200);
    applied(&books, 1).await;
    (node, books, captured)
}

fn under(id: &str, captured: &Event) -> Event {
    Event {
        id: id.to_owned(),
        ..captured.clone()
    }
}

async fn applied(books: &Books, events: usize) {
    wait_until("they are applied", PATIENCE, async || {
        books.payments().await.len() == events
    })
    .await;
}

async fn is_quarantined(books: &Books, id: &str) {
    wait_until("the replay is a dead letter", PATIENCE, async || {
        let dead = books.dead().await;
        dead.get(id)
            .is_some_and(|reason| reason == "replayed_signature")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_spelling_of_a_captured_request_gets_around_the_guard() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books, captured) = with_a_captured_request(folder.path(), "").await;
    let digits = captured.signature.trim_start_matches("sha256=");
    let shouted = Event {
        signature: format!("sha256={}", digits.to_uppercase()),
        ..under("evt_shouted", &captured)
    };
    let key = SigningKey::new(&Secret::new(SECOND_SECRET).unwrap());
    let resigned = Event {
        signature: spillway::sign(&key, captured.timestamp.as_bytes(), &captured.body),
        ..under("evt_resigned", &captured)
    };
    for replay in [under("evt_forged", &captured), shouted, resigned] {
        assert_eq!(replay.send(&node.url).await.status(), 200, "{}", replay.id);
        is_quarantined(&books, &replay.id).await;
    }
    let copies = "SELECT CAST(copies AS text), reason FROM dead_letters";
    let one_letter = [["3", "replayed_signature"]];
    assert_eq!(books.query(copies).await.unwrap(), one_letter);
    let doubled = under("evt_doubled", &captured);
    let request = doubled
        .to(&node.url)
        .header("x-signature", &captured.signature);
    assert_eq!(request.send().await.unwrap().status(), 400);
    assert_eq!(books.payments().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_events_that_carry_their_id_never_meet_the_guard() {
    let folder = tempfile::tempdir().unwrap();
    let guard = "replay_guard = \"quarantine\"";
    let (node, books, captured) = with_a_captured_request(folder.path(), guard).await;
    let twin = |id: &str| {
        let body = format!(r#"{{"id":"{id}","orderId":"o","amount":7,"status":"paid"}}"#);
        Event::at(&captured.timestamp, id, body)
    };
    for number in 0..20 {
        let twin = twin(&format!("evt_{number}"));
        assert_eq!(twin.send(&node.url).await.status(), 200);
    }
    applied(&books, 1 + 20).await;
    assert!(books.dead().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_alarm_a_replay_is_applied_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let guard = "replay_guard = \"alarm\"";
    let (node, books, captured) = with_a_captured_request(folder.path(), guard).await;
    let replays: Vec<Event> = (0..10)
        .map(|number| under(&format!("evt_{number}"), &captured))
        .collect();
    let sending = replays.iter().map(|replay| replay.send(&node.url));
    for answer in futures_util::future::join_all(sending).await {
        assert_eq!(answer.status(), 200);
    }
    applied(&books, 1 + 10).await;
    // Again: known by their ids now, which is no replay.
    for replay in &replays {
        assert_eq!(replay.send(&node.url).await.status(), 200);
    }
    let duplicates = r#"spillway_dedupe_total{result="duplicate"}"#;
    wait_until("they are duplicates", PATIENCE, async || {
        node.metric(duplicates).await == 10.0
    })
    .await;
    let alarms = node.metric(r#"spillway_dedupe_total{result="replay_alarm"}"#);
    assert_eq!(alarms.await, 10.0);
    assert!(node.running.output().contains("let through"));
    assert!(books.dead().await.is_empty());
    assert!(books.payments().await.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_guard_off_a_replay_is_applied_and_nobody_looks() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books, captured) =
        with_a_captured_request(folder.path(), "replay_guard = \"off\"").await;
    let replay = under("evt_forged", &captured);
    assert_eq!(replay.send(&node.url).await.status(), 200);
    applied(&books, 2).await;
    let alarms = node.metric(r#"spillway_dedupe_total{result="replay_alarm"}"#);
    assert_eq!(alarms.await, 0.0);
    // Not even kept: turned on again later, the guard begins anew.
    let digests = "SELECT event_id FROM processed_webhooks WHERE signature_digest IS NOT NULL";
    assert!(books.query(digests).await.unwrap().is_empty());
}
