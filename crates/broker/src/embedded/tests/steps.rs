//! One promise each.

use super::*;

#[test]
fn a_body_is_written_once_for_the_journal_and_every_queue() {
    let mut bench = Bench::new(Some(Journal::default()));
    bench
        .publish(Destination::Events, event(1, "stripe"))
        .unwrap();
    let rows = ["event", "journal", "queued"].map(|table| bench.count(table));
    assert_eq!(rows, [1, 1, 2]);
}

#[test]
fn a_retry_of_what_is_in_hand_refers_to_the_body_that_is_there() {
    let mut bench = Bench::new(None);
    bench.publish_all([1]);
    let mut consumer = bench.consumer("payments", 1);
    bench.write();
    let delivery = read(&mut consumer).remove(0);
    let mut retry = envelope(&delivery).clone();
    retry.attempt = retry.attempt.next();
    bench
        .publish(retry_queue("payments", 1), retry.clone())
        .unwrap();
    assert_eq!(bench.count("event"), 1);
    delivery.receipt.ack();
    bench.write();
    assert_eq!((bench.count("event"), bench.count("queued")), (1, 0));

    bench.pass(Duration::from_secs(1));
    bench.write();
    let again = read(&mut consumer).remove(0);
    assert_eq!(envelope(&again), &retry);
    again.receipt.ack();
    bench.write();
    assert_eq!(bench.count("event"), 0);
}

#[test]
fn equal_bytes_elsewhere_are_another_body() {
    let mut bench = Bench::new(None);
    bench.publish_all([1]);
    let mut consumer = bench.consumer("payments", 1);
    bench.write();
    let _in_hand = read(&mut consumer);
    bench
        .publish(retry_queue("payments", 1), event(1, "default"))
        .unwrap();
    assert_eq!(bench.count("event"), 2);
}

#[test]
fn the_journal_keeps_within_its_age() {
    let mut bench = Bench::new(Some(Journal {
        max_age: Duration::from_secs(60),
        max_bytes: u64::MAX,
    }));
    bench.publish_all(0..10);
    bench.pass(Duration::from_secs(60));
    bench.publish_all(10..20);
    assert_eq!(bench.count("journal"), 20);
    bench.pass(Duration::from_secs(1));
    bench.publish_all([20]);
    assert_eq!(bench.count("journal"), 11);
    // What is still in a queue is kept for it.
    assert_eq!(bench.count("event"), 21);
}

#[test]
fn the_journal_keeps_within_its_bytes() {
    let mut bench = Bench::new(Some(Journal {
        max_age: Duration::MAX,
        max_bytes: 2_000,
    }));
    let mut consumer = bench.consumer("payments", 100);
    for id in 0..50 {
        bench.publish_all([id]);
        read(&mut consumer)
            .into_iter()
            .for_each(|delivery| delivery.receipt.ack());
    }
    bench.write();
    let db = bench.writer.store().db();
    let sum = "SELECT sum(bytes), (SELECT bytes FROM journal_size) FROM journal";
    let (kept, noted): (i64, i64) = db
        .query_row(sum, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(kept, noted);
    assert!((1_500..=2_000).contains(&kept), "{kept}");
    assert_eq!(bench.count("event"), bench.count("journal"));
}

#[test]
fn a_journal_that_is_not_kept_any_more_is_emptied_in_small_steps() {
    let mut bench = Bench::new(Some(Journal::default()));
    bench.publish_all(0..200);
    bench.topology.journal = None;
    bench.crash();
    bench.write_once();
    let left = bench.count("journal");
    assert!((1..200).contains(&left), "{left}");
    (0..10).for_each(|_| bench.write_once());
    assert_eq!(bench.count("journal"), 0);
}

#[test]
fn a_full_disk_refuses_publishes_lets_the_queue_drain_and_takes_them_again() {
    let mut bench = Bench::new(None);
    let mut consumer = bench.consumer("payments", 8);
    let set_max = |bench: &Bench, pages: u32| {
        let db = bench.writer.store().db();
        let set = format!("PRAGMA max_page_count = {pages}");
        db.query_row(&set, [], |_| Ok(())).unwrap();
    };
    bench.publish_all(0..100);
    // SQLite takes no less than there is.
    set_max(&bench, 1);
    let refused = (100..10_000)
        .find(|&id| {
            bench
                .publish(Destination::Events, event(id, "default"))
                .is_err()
        })
        .expect("the disk is full at some time");
    assert!(bench.writer.probe().is_err());
    let mut drained = Vec::new();
    while drained.len() < usize::try_from(refused).unwrap() {
        for delivery in read(&mut consumer) {
            drained.push(id(&delivery));
            delivery.receipt.ack();
        }
        bench.write();
    }
    assert_eq!(drained, (0..refused).collect::<Vec<_>>());
    bench.writer.probe().unwrap();
    bench.publish_all([refused]);
}

#[test]
fn what_could_not_be_written_is_neither_erased_nor_handed_out() {
    let mut bench = Bench::new(None);
    bench.publish_all(1..=4);
    let mut consumer = bench.consumer("payments", 2);
    bench.write();
    let taken = read(&mut consumer);
    taken
        .into_iter()
        .for_each(|delivery| delivery.receipt.ack());
    bench.break_disk(true);
    assert!(
        bench
            .publish(Destination::Events, event(5, "default"))
            .is_err()
    );
    assert!(read(&mut consumer).is_empty());
    bench.break_disk(false);
    assert_eq!(bench.count("queued"), 4);
    bench.write();
    assert_eq!(
        read(&mut consumer).iter().map(id).collect::<Vec<_>>(),
        [3, 4]
    );
    assert_eq!(bench.count("queued"), 2);
}

#[test]
fn a_consumer_that_releases_everything_gets_its_prefetch_once_a_second() {
    let mut bench = Bench::new(None);
    bench.publish_all(0..10);
    let mut consumer = bench.consumer("payments", 3);
    let mut seen = Vec::new();
    for _ in 0..100 {
        bench.write();
        seen.extend(read(&mut consumer).iter().map(id));
        bench.pass(Duration::from_millis(20));
    }
    assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn what_cannot_be_read_as_headers_is_foreign_and_stops_nobody() {
    let mut bench = Bench::new(None);
    bench.publish_all([1]);
    let db = bench.writer.store().db();
    db.execute_batch("UPDATE event SET wire = CAST(x'ff7b' AS TEXT)")
        .unwrap();
    bench.publish_all([2]);
    let mut consumer = bench.consumer("payments", 8);
    bench.write();
    let taken = read(&mut consumer);
    assert!(matches!(taken[0].content, Content::Foreign { .. }));
    assert_eq!(id(&taken[1]), 2);
}

#[test]
fn delayed_events_join_in_the_order_they_are_due() {
    let mut bench = Bench::new(None);
    for (id, seconds) in [(1, 4), (2, 1), (3, 1), (4, 2)] {
        bench
            .publish(retry_queue("payments", seconds), event(id, "default"))
            .unwrap();
    }
    assert_eq!(bench.writer.due_in(bench.now), Some(Duration::from_secs(1)));
    let mut consumer = bench.consumer("payments", 8);
    bench.pass(Duration::from_micros(999_999));
    bench.write();
    assert!(read(&mut consumer).is_empty());
    bench.pass(Duration::from_secs(10));
    bench.write();
    assert_eq!(
        read(&mut consumer).iter().map(id).collect::<Vec<_>>(),
        [2, 3, 4, 1]
    );
    assert_eq!(bench.writer.due_in(bench.now), None);
}

#[test]
fn a_delayed_event_keeps_its_due_time_across_a_crash() {
    let mut bench = Bench::new(None);
    bench
        .publish(retry_queue("payments", 4), event(1, "default"))
        .unwrap();
    bench.pass(Duration::from_secs(3));
    bench.crash();
    assert_eq!(bench.writer.due_in(bench.now), Some(Duration::from_secs(1)));
}
