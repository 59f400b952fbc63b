//! The books balance: what was accepted is compared with what was applied, by id.

use chaos::operator::operate_on;
use chaos::sender::{Event, Flow};
use chaos::system::{Corner, Node, audit, serve, serve_with};
use std::time::Duration;
use testkit::wait_until;
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);

pub async fn ledger_of(corner: &Corner) -> Client {
    let (client, connection) = tokio_postgres::connect(&corner.servers.ledger, NoTls)
        .await
        .unwrap();
    tokio::spawn(async { connection.await.ok() });
    client
}

/// A cluster in which events have been applied: their ids.
async fn with_events(corner: &Corner, count: usize) -> (Node, Node, Vec<String>) {
    let (ingest, worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let ids: Vec<_> = (0..count).map(|number| format!("evt_{number}")).collect();
    for id in &ids {
        assert_eq!(Event::payment(id).send(&ingest.url).await.status(), 200);
    }
    let books = corner.servers.books();
    wait_until("all are applied", PATIENCE, async || {
        books.payments().await.len() == count
    })
    .await;
    (ingest, worker, ids)
}

fn names(report: &serde_json::Value, list: &str) -> Vec<String> {
    let events = report[list].as_array().unwrap();
    let name = |event: &serde_json::Value| event["event_id"].as_str().unwrap().to_owned();
    events.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_deleted_by_hand_is_named_at_once_and_repaired_from_the_journal() {
    let corner = Corner::new().await;
    let (_ingest, _worker, _) = with_events(&corner, 50).await;
    corner.servers.operate(&["reconcile"]).await.fine();
    let ledger = ledger_of(&corner).await;
    let delete = "DELETE FROM processed_webhooks WHERE event_id = 'evt_7'; \
        DELETE FROM payments WHERE event_id = 'evt_7'";
    ledger.batch_execute(delete).await.unwrap();

    let found = corner.servers.operate(&["reconcile", "--json"]).await;
    assert_eq!(names(&found.json(), "unaccounted"), ["evt_7"]);
    assert!(found.failed().contains("1 events are unaccounted for"));

    corner
        .servers
        .operate(&["reconcile", "--repair"])
        .await
        .fine();
    let books = corner.servers.books();
    wait_until("it is applied again", PATIENCE, async || {
        books.payments().await.get("evt_7") == Some(&1)
    })
    .await;
    corner.servers.operate(&["reconcile"]).await.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_doubled_altered_or_forgotten_by_hand_is_named() {
    let corner = Corner::new().await;
    let (_ingest, _worker, _) = with_events(&corner, 20).await;
    let ledger = ledger_of(&corner).await;
    let tamper = "INSERT INTO payments SELECT * FROM payments WHERE event_id = 'evt_3'; \
        UPDATE processed_webhooks SET payload = 'x' WHERE event_id = 'evt_4'; \
        DELETE FROM processed_webhooks WHERE event_id = 'evt_5'";
    ledger.batch_execute(tamper).await.unwrap();
    let found = corner.servers.operate(&["reconcile", "--json"]).await;
    let report = found.json();
    let mut damaged = names(&report, "damaged");
    damaged.sort_unstable();
    assert_eq!(damaged, ["evt_3", "evt_4", "evt_5"]);
    assert_eq!(
        report["applied"], 18,
        "what is stored under evt_4 is not what was received, and evt_5 has paid and nobody knows"
    );
    found.failed();
    // Published again, evt_5 would pay twice.
    let repaired = corner.servers.operate(&["reconcile", "--repair"]).await;
    assert!(repaired.failed().contains("0 events are unaccounted for"));

    let diagnosis = corner
        .servers
        .operate(&["doctor", "--duplicates", "--json"])
        .await;
    let doubled = &diagnosis.json()["doubled"];
    assert_eq!(doubled[0]["event_id"], "evt_3");
    assert!(doubled[0]["fits"].as_str().unwrap().contains("not atomic"));
    diagnosis.failed();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_worker_is_in_flight_and_no_loss() {
    let corner = Corner::new().await;
    // A worker once, for its tables; then none.
    let (ingest, mut worker, _) = with_events(&corner, 5).await;
    worker.terminate().await;
    assert_eq!(
        Event::payment("evt_waits").send(&ingest.url).await.status(),
        200
    );
    let found = corner.servers.operate(&["reconcile", "--json"]).await;
    let report = found.json();
    assert_eq!(names(&report, "in_flight"), ["evt_waits"]);
    assert!(names(&report, "unaccounted").is_empty());
    found.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nothing_in_flight_is_taken_for_lost() {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let _workers = [corner.servers.worker().await, corner.servers.worker().await];
    let flow = Flow::start("busy", vec![ingest.url.clone()], 4);
    flow.go_on(200).await;
    for _ in 0..2 {
        let said = corner.servers.operate(&["reconcile", "--json"]).await;
        assert_eq!(said.json()["rows_without_journal_entry"], 0);
        said.fine();
    }
    // What comes meanwhile is not waited for.
    let replayed = corner.servers.operate(&["replay", "--from", "1h"]).await;
    assert!(replayed.fine().contains("applied again"));
    audit(&corner.servers.books(), &flow.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_restored_from_an_older_dump_is_brought_level() {
    let corner = Corner::new().await;
    let (ingest, _worker, ids) = with_events(&corner, 30).await;
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump.sql");
    corner.database.dump(&dump).await.unwrap();
    let later: Vec<_> = (0..20).map(|number| format!("later_{number}")).collect();
    for id in later.iter().chain(&later[..3]) {
        assert_eq!(Event::payment(id).send(&ingest.url).await.status(), 200);
    }
    let books = corner.servers.books();
    let all = ids.len() + later.len();
    wait_until("all are applied", PATIENCE, async || {
        books.payments().await.len() == all
    })
    .await;
    // Under the feet of the worker, as in an emergency.
    corner.database.restore(&dump).await.unwrap();
    assert_eq!(books.payments().await.len(), ids.len());

    let dry = ["replay", "--from", "1h", "--dry-run"];
    let dry = corner.servers.operate(&dry).await.fine();
    assert!(
        dry.contains("30 stand applied") && dry.contains("20 were missing"),
        "{dry}"
    );
    let replay = ["replay", "--from", "1h"];
    let replayed = corner.servers.operate(&replay).await.fine();
    assert!(replayed.contains("20 applied again"), "{replayed}");
    let payments = books.payments().await;
    assert_eq!(payments.len(), all);
    assert!(payments.values().all(|times| *times == 1), "{payments:?}");
    corner.servers.operate(&["reconcile"]).await.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_ledger_file_is_brought_level_by_serve() {
    let folder = tempfile::tempdir().unwrap();
    let (mut node, books) = serve(folder.path()).await;
    let send = async |node: &Node, ids: std::ops::Range<u32>| {
        for number in ids {
            let event = Event::payment(&format!("evt_{number}"));
            assert_eq!(event.send(&node.url).await.status(), 200);
        }
    };
    let applied = async |count: usize| {
        wait_until("all are applied", PATIENCE, async || {
            books.payments().await.len() == count
        })
        .await;
    };
    send(&node, 0..5).await;
    applied(5).await;
    node.terminate().await;
    let (ledger, backup) = (
        folder.path().join("ledger.db"),
        folder.path().join("backup"),
    );
    std::fs::copy(&ledger, &backup).unwrap();
    let (mut node, _) = serve(folder.path()).await;
    send(&node, 5..9).await;
    applied(9).await;
    node.terminate().await;
    std::fs::copy(&backup, &ledger).unwrap();

    let (_node, _) = serve(folder.path()).await;
    assert_eq!(books.payments().await.len(), 5);
    let replayed = operate_on(folder.path(), &["replay", "--from", "1h"])
        .await
        .fine();
    assert!(
        replayed.contains("5 stand applied") && replayed.contains("4 applied again"),
        "{replayed}"
    );
    assert!(books.payments().await.values().all(|times| *times == 1));
    operate_on(folder.path(), &["reconcile"]).await.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_sends_twice_is_owed_once() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    for number in (0..10).chain(0..10) {
        let event = Event::payment(&format!("evt_{number}"));
        assert_eq!(event.send(&node.url).await.status(), 200);
    }
    wait_until("all are applied", PATIENCE, async || {
        books.payments().await.len() == 10
    })
    .await;
    let said = operate_on(folder.path(), &["reconcile", "--json"]).await;
    assert_eq!(said.json()["applied"], 20);
    assert!(names(&said.json(), "damaged").is_empty());
    said.fine();

    let other = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    let delete = "DELETE FROM processed_webhooks WHERE event_id = 'evt_7'; \
        DELETE FROM payments WHERE event_id = 'evt_7'";
    other.execute_batch(delete).unwrap();
    let found = operate_on(folder.path(), &["reconcile", "--json"]).await;
    assert_eq!(names(&found.json(), "unaccounted"), ["evt_7"]);
    found.failed();
    operate_on(folder.path(), &["reconcile", "--repair"])
        .await
        .fine();
    wait_until("it is applied again", PATIENCE, async || {
        books.payments().await.get("evt_7") == Some(&1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_the_books_say_that_they_see_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("spillway.toml");
    std::fs::write(&config, "[journal]\nenabled = false\n").unwrap();
    let config = config.to_str().unwrap();
    let (node, books) = serve_with(folder.path(), "SPILLWAY_CONFIG", config).await;
    assert_eq!(Event::payment("evt_1").send(&node.url).await.status(), 200);
    wait_until("it is applied", PATIENCE, async || {
        books.payments().await.len() == 1
    })
    .await;
    assert!(node.running.output().contains("the journal is off"));
    for command in [&["reconcile"][..], &["replay", "--from", "1h"]] {
        let command = [command, &["--config", config]].concat();
        let said = operate_on(folder.path(), &command).await.failed();
        assert!(said.contains("the journal is off"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_serve_the_books_are_compared_and_repaired_too() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    for number in 0..20 {
        let event = Event::payment(&format!("evt_{number}"));
        assert_eq!(event.send(&node.url).await.status(), 200);
    }
    wait_until("all are applied", PATIENCE, async || {
        books.payments().await.len() == 20
    })
    .await;
    operate_on(folder.path(), &["reconcile"]).await.fine();
    let other = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    other.busy_timeout(Duration::from_secs(10)).unwrap();
    let delete = "DELETE FROM processed_webhooks WHERE event_id = 'evt_7'; \
        DELETE FROM payments WHERE event_id = 'evt_7'";
    other.execute_batch(delete).unwrap();
    let found = operate_on(folder.path(), &["reconcile", "--json"]).await;
    assert_eq!(names(&found.json(), "unaccounted"), ["evt_7"]);
    operate_on(folder.path(), &["reconcile", "--repair"])
        .await
        .fine();
    wait_until("it is applied again", PATIENCE, async || {
        books.payments().await.get("evt_7") == Some(&1)
    })
    .await;
}
#[tokio::test(flavor = "multi_thread")]
async fn what_came_twice_and_went_to_two_pipelines_is_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("spillway.toml");
    std::fs::write(&config, "[pipelines.payments]\n[pipelines.audit]\n").unwrap();
    let config = config.to_str().unwrap();
    let (node, books) = serve_with(folder.path(), "SPILLWAY_CONFIG", config).await;
    for number in (0..10).chain(0..10) {
        let event = Event::payment(&format!("evt_{number}"));
        assert_eq!(event.send(&node.url).await.status(), 200);
    }
    wait_until("both have applied all", PATIENCE, async || {
        let payments = books.payments().await;
        payments.len() == 10 && payments.values().all(|times| *times == 2)
    })
    .await;
    let reconcile = ["reconcile", "--json", "--config", config];
    let said = operate_on(folder.path(), &reconcile).await;
    assert_eq!(
        said.json()["applied"],
        40,
        "each came twice, to two pipelines"
    );
    said.fine();
    let doctor = ["doctor", "--duplicates", "--config", config];
    operate_on(folder.path(), &doctor).await.fine();

    // A row of one pipeline is lost, and with it one of the two payments: named once, though it came twice.
    let other = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    let delete = "DELETE FROM processed_webhooks WHERE event_id = 'evt_7' AND pipeline = 'audit'; \
        DELETE FROM payments WHERE rowid = \
            (SELECT max(rowid) FROM payments WHERE event_id = 'evt_7')";
    other.execute_batch(delete).unwrap();
    let found = operate_on(folder.path(), &reconcile).await;
    assert_eq!(names(&found.json(), "unaccounted"), ["evt_7"]);
    assert!(names(&found.json(), "damaged").is_empty());
    let repair = ["reconcile", "--repair", "--config", config];
    operate_on(folder.path(), &repair).await.fine();
    wait_until("it is applied again", PATIENCE, async || {
        books.payments().await.get("evt_7") == Some(&2)
    })
    .await;
}
