//! Clocks that disagree. The door tells a sender so, and nothing behind it decides by a sender's clock
//! whether an event is applied.

use crate::walk::drained;
use chaos::sender::{Answers, Event, now};
use chaos::system::{Corner, audit};

/// How far a sender's clock may be off, either way, in seconds.
const TOLERATED: i64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_clock_jumps_within_the_tolerance_is_applied_and_beyond_it_is_told() {
    let corner = Corner::new().await;
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let mut answers = Answers::default();
    // Forward, back, and back again: the order of the timestamps is not the order of the events.
    for (number, skew) in [0, 290, -290, 600, 100, -600, -100, 0, 86_400]
        .iter()
        .enumerate()
    {
        let id = format!("evt_{number}");
        let timestamp = (now() as i64 + skew).to_string();
        let event = Event::at(&timestamp, &id, Event::payment(&id).body);
        let status = event.send(&ingest.url).await.status();
        let expected = if skew.abs() < TOLERATED { 200 } else { 403 };
        assert_eq!(status, expected, "{skew} s");
        if expected == 200 {
            answers.sent.insert(id.clone());
            answers.accepted.insert(id);
        }
    }
    audit(&corner.servers.books(), &answers).await;
    drained(&corner).await;
    let seen = r#"spillway_ingest_clock_skew_seconds_count{source="default"}"#;
    let far = r#"spillway_ingest_clock_skew_seconds_bucket{source="default",le="60"}"#;
    let (seen, near) = (ingest.metric(seen).await, ingest.metric(far).await);
    assert!(
        near < seen,
        "nobody's clock is seen to be off: {near} of {seen}"
    );
}
