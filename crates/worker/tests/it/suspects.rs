//! Events that were in hand when workers died.

use crate::{BODY, Bench, event, rows};
use broker::Ending;
use ledger::{Ledger, LedgerSettings, SqliteLedger};
use std::path::Path;

/// Deliveries before this one that make a suspect.
const SUSPECTED: u32 = 2;

fn ledger(folder: &Path) -> SqliteLedger {
    SqliteLedger::open(&folder.join("ledger.db"), &LedgerSettings::new("other")).unwrap()
}

/// As if so many workers had died of it.
async fn started(folder: &Path, id: &str, starts: u32) {
    let key = event(id, BODY, None).key(&"payments".parse().unwrap());
    ledger(folder).start_suspect(key, starts).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn suspects_come_after_their_neighbours_and_leave_no_record() {
    let folder = tempfile::tempdir().unwrap();
    started(folder.path(), "evt_last_start", 2).await;
    let batch = vec![
        (event("evt_last_start", BODY, None), SUSPECTED),
        (event("evt_suspect", BODY, None), SUSPECTED + 7),
        (event("evt_suspect", BODY, None), SUSPECTED),
        (event("evt_neighbour", BODY, None), SUSPECTED - 1),
    ];
    let bench = Bench::start_with(folder.path(), batch).await;
    let settled = bench.settled(4).await;
    let order: Vec<u64> = settled.iter().map(|(tag, _)| *tag).collect();
    assert_eq!((order[0], order[3]), (4, 1), "fewest starts first");
    assert!(settled.iter().all(|(_, ending)| *ending == Ending::Ack));
    assert_eq!(rows(folder.path(), "payments"), 3);
    bench.stop().await;
    assert_eq!(rows(folder.path(), "suspects"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_starts_without_a_return_condemn_before_a_fourth() {
    let folder = tempfile::tempdir().unwrap();
    started(folder.path(), "evt_deadly", 3).await;
    let batch = vec![
        (event("evt_deadly", BODY, None), SUSPECTED),
        (event("evt_suspect", BODY, None), SUSPECTED),
    ];
    let mut bench = Bench::start_with(folder.path(), batch).await;
    assert_eq!(bench.settled(1).await, [(2, Ending::Ack)]);
    let letter = bench.lane.requests.recv().await.unwrap();
    let note = letter.envelope.note.clone().unwrap();
    assert_eq!((&*note.class, &*note.reason), ("poison", "crash_loop"));
    assert_eq!(rows(folder.path(), "payments"), 1, "it was started again");
    letter.confirm();
    assert_eq!(bench.settled(1).await, [(1, Ending::Ack)]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_that_fails_has_returned() {
    let folder = tempfile::tempdir().unwrap();
    started(folder.path(), "evt_poison", 1).await;
    let batch = vec![(event("evt_poison", "garbage", None), SUSPECTED)];
    let mut bench = Bench::start_with(folder.path(), batch).await;
    let letter = bench.lane.requests.recv().await.unwrap();
    assert_eq!(letter.envelope.note.as_ref().unwrap().reason, "not_json");
    letter.confirm();
    assert_eq!(bench.settled(1).await, [(1, Ending::Ack)]);
    bench.stop().await;
    assert_eq!(rows(folder.path(), "suspects"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_alone_condemns_nobody_and_three_starts_condemn_no_first_delivery() {
    let folder = tempfile::tempdir().unwrap();
    started(folder.path(), "evt_replayed", 3).await;
    let batch = vec![
        (event("evt_replayed", BODY, None), 0),
        (event("evt_unlucky", BODY, None), 1_000),
    ];
    let bench = Bench::start_with(folder.path(), batch).await;
    let settled = bench.settled(2).await;
    assert!(settled.iter().all(|(_, ending)| *ending == Ending::Ack));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_away_while_a_start_is_written_down_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    started(folder.path(), "evt_suspect", 1).await;
    let path = folder.path().join("ledger.db");
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch("ALTER TABLE suspects RENAME TO elsewhere")
        .unwrap();
    let batch = vec![
        (event("evt_suspect", BODY, None), SUSPECTED),
        (event("evt_neighbour", BODY, None), 0),
    ];
    let bench = Bench::start_with(folder.path(), batch).await;
    assert_eq!(bench.settled(1).await, [(2, Ending::Ack)]);
    testkit::wait_until("the fault is counted", crate::PATIENCE, async || {
        bench.faults_of_ours() > 0.0
    })
    .await;
    assert_eq!(rows(folder.path(), "payments"), 1, "it was not started");
    connection
        .execute_batch("ALTER TABLE elsewhere RENAME TO suspects")
        .unwrap();
    assert_eq!(bench.settled(1).await, [(1, Ending::Ack)]);
    bench.stop().await;
    assert_eq!(rows(folder.path(), "suspects"), 0);
}
