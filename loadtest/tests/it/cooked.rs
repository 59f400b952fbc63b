//! Books that somebody has cooked are found out.

use crate::harness::{Site, Tested};
use rusqlite::Connection;
use std::collections::BTreeSet;

/// Runs the tester on a ledger that does this as soon as the payment of one of its events is written.
async fn cooked(change: &str, arguments: &[&str]) -> Tested {
    let site = Site::new().await;
    let trigger = format!(
        "CREATE TRIGGER cook AFTER INSERT ON payments WHEN NEW.event_id = 'lt00000007n000000123' BEGIN {change}; END"
    );
    Connection::open(site.ledger())
        .unwrap()
        .execute_batch(&trigger)
        .unwrap();
    let always = [
        "--seed",
        "7",
        "--rate",
        "300",
        "--duration",
        "1s",
        "--connections",
        "16",
        "--patience",
        "2s",
    ];
    site.test(&[&always[..], arguments].concat()).await
}

const DOUBLE: &str = "INSERT INTO payments SELECT * FROM payments WHERE rowid = NEW.rowid AND \
    (SELECT count(*) FROM payments WHERE event_id = NEW.event_id) < 2";
const LOSE: &str = "DELETE FROM payments WHERE rowid = NEW.rowid";

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_there_twice_is_doubled() {
    let tested = cooked(DOUBLE, &["--json"]).await;
    assert_eq!(tested.code, Some(1), "{}", tested.output);
    let audit = tested.json()["audit"].clone();
    assert_eq!(audit["doubled"]["count"], 1, "{audit}");
    assert_eq!(
        audit["doubled"]["first"][0],
        "lt00000007n000000123: 2 times"
    );
    // The order does not know of it, and says so.
    assert_eq!(
        audit["crooked_orders"]["first"][0], "lt00000007o000123",
        "{audit}"
    );
    assert_eq!(audit["lost"]["count"], 0, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_gone_is_lost_although_its_event_is_known_as_applied() {
    let tested = cooked(LOSE, &[]).await;
    assert_eq!(tested.code, Some(1), "{}", tested.output);
    let broken = tested
        .output
        .lines()
        .filter(|line| line.starts_with("BROKEN"));
    let broken: BTreeSet<&str> = broken.map(|line| line[8..26].trim()).collect();
    assert_eq!(
        broken,
        BTreeSet::from(["crooked orders", "lost"]),
        "{}",
        tested.output
    );
    assert!(
        tested.output.contains("1: lt00000007n000000123"),
        "{}",
        tested.output
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_may_allow_what_is_known() {
    let tested = cooked(LOSE, &["--max-lost", "1"]).await;
    assert_eq!(tested.code, Some(0), "{}", tested.output);
}
