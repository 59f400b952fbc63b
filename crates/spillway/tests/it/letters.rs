//! Dead letters, as an operator handles them.

use crate::reconcile::ledger_of;
use chaos::operator::operate_on;
use chaos::sender::Event;
use chaos::system::{Corner, serve};
use std::time::Duration;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_replayed_and_if_it_dies_again_it_is_one_letter_with_a_history() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    assert_eq!(
        Event::new("evt_poison", "not json")
            .send(&node.url)
            .await
            .status(),
        200
    );
    wait_until("it is filed", PATIENCE, async || {
        books.dead().await.len() == 1
    })
    .await;

    let list = operate_on(folder.path(), &["dlq", "list"]).await.fine();
    assert!(
        list.contains("evt_poison") && list.contains("not_json"),
        "{list}"
    );
    let dry = operate_on(folder.path(), &["dlq", "replay", "--dry-run"])
        .await
        .fine();
    assert!(dry.contains("1 letters to replay"), "{dry}");
    let dry = operate_on(folder.path(), &["dlq", "discard", "--dry-run", "--json"]).await;
    assert_eq!(
        dry.json(),
        serde_json::json!({ "letters": 1, "changed": false })
    );
    // Nobody is there to answer.
    operate_on(folder.path(), &["dlq", "replay"]).await.failed();
    let replay = [
        "dlq", "replay", "--yes", "--by", "ada", "--reason", "not_json", "--json",
    ];
    let replayed = operate_on(folder.path(), &replay).await;
    assert_eq!(replayed.json()["replayed"], 1);
    replayed.fine();
    wait_until("it has died again", PATIENCE, async || {
        let replays = "SELECT CAST(replays AS text) FROM dead_letters WHERE state = 'dead'";
        books.query(replays).await == Some(vec![vec!["1".to_owned()]])
    })
    .await;
    let shown = operate_on(folder.path(), &["dlq", "show", "evt_poison"])
        .await
        .fine();
    assert!(
        shown.contains("replayed by ada") && shown.contains("not json"),
        "{shown}"
    );
    assert_eq!(books.count("dead_letters").await, 1);

    let file = folder.path().join("letters.jsonl");
    let export = ["dlq", "export", "--output", file.to_str().unwrap()];
    operate_on(folder.path(), &export).await.fine();
    let line: serde_json::Value =
        serde_json::from_str(std::fs::read_to_string(file).unwrap().trim()).unwrap();
    assert_eq!(line["payload"], "not json");
    assert_eq!(line["event_id"], "evt_poison");

    let discarded = operate_on(folder.path(), &["dlq", "discard", "--yes", "--json"]).await;
    assert_eq!(discarded.json()["discarded"], 1);
    discarded.fine();
    let list = operate_on(folder.path(), &["dlq", "list"]).await.fine();
    assert!(list.contains("0 of 0 letters"), "{list}");
    let list = operate_on(folder.path(), &["dlq", "list", "--state", "discarded"]).await;
    assert!(list.fine().contains("evt_poison"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_mended_is_replayed_and_applied_once() {
    let corner = Corner::new().await;
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let folder = tempfile::tempdir().unwrap();
    let _control = corner.servers.control().await;
    let ledger = ledger_of(&corner).await;
    let forbid = "ALTER TABLE payments ADD CONSTRAINT small CHECK (amount < 5)";
    ledger.batch_execute(forbid).await.unwrap();
    for number in 0..30 {
        let event = Event::payment(&format!("evt_{number}"));
        assert_eq!(event.send(&ingest.url).await.status(), 200);
    }
    let books = corner.servers.books();
    wait_until("all are filed", PATIENCE, async || {
        books.dead().await.len() == 30
    })
    .await;
    corner.servers.operate(&["reconcile"]).await.fine();
    ledger
        .batch_execute("ALTER TABLE payments DROP CONSTRAINT small")
        .await
        .unwrap();

    let few = ["dlq", "replay", "--yes", "--limit", "10", "--rate", "100"];
    let few = corner.servers.operate(&few).await.fine();
    assert!(few.contains("10 letters replayed"), "{few}");
    corner
        .servers
        .operate(&["dlq", "replay", "--yes"])
        .await
        .fine();
    wait_until("all are applied", PATIENCE, async || {
        books.payments().await.len() == 30
    })
    .await;
    assert!(books.payments().await.values().all(|times| *times == 1));
    corner.servers.operate(&["reconcile"]).await.fine();
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_request_is_let_through_only_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    let body = r#"{"orderId":"o_1","amount":7,"status":"paid"}"#;
    let captured = Event::new("evt_honest", body);
    assert_eq!(captured.send(&node.url).await.status(), 200);
    wait_until("it is applied", PATIENCE, async || {
        books.payments().await.len() == 1
    })
    .await;
    let again = Event {
        id: "evt_again".to_owned(),
        ..captured
    };
    assert_eq!(again.send(&node.url).await.status(), 200);
    wait_until("it is filed", PATIENCE, async || {
        books.dead().await.len() == 1
    })
    .await;
    let left = operate_on(folder.path(), &["dlq", "replay", "--yes"])
        .await
        .fine();
    assert!(
        left.contains("1 left: stopped by the replay guard"),
        "{left}"
    );
    let accept = ["dlq", "replay", "--yes", "--accept-signature"];
    operate_on(folder.path(), &accept).await.fine();
    wait_until("it is applied", PATIENCE, async || {
        books.payments().await.contains_key("evt_again")
    })
    .await;
}
