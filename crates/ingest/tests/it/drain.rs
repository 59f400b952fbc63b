//! In which order, how fast, and when an event leaves the spool.

use broker::{LaneState, PublishError, PublishLane, PublishRequest, Spool, publisher};
use bytes::Bytes;
use envelope::{Attempt, Envelope, UnixMicros};
use ingest::drain;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::wait_until;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine; it only bounds a failure.
const DEADLINE: Duration = Duration::from_secs(20);

/// A spool that is being drained to a lane that the test serves.
struct Bench {
    spool: Spool,
    lane: PublishLane,
    draining: JoinHandle<()>,
    stop: CancellationToken,
    serving: CancellationToken,
    _folder: TempDir,
}

impl Bench {
    /// With `count` events in it.
    async fn new(count: usize, rate: u32) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (stop, serving) = (CancellationToken::new(), CancellationToken::new());
        let path = folder.path().join("spool.db");
        let spool = Spool::start(&path, 1 << 30, serving.clone()).unwrap();
        for number in 0..count {
            let _proof = spool.keep(event(number)).await.unwrap();
        }
        let (publisher, mut lanes) = publisher(1, 64);
        let lane = lanes.pop().unwrap();
        lane.set_state(LaneState::Up);
        let rate = NonZeroU32::new(rate).unwrap();
        let draining = tokio::spawn(drain(spool.clone(), publisher, rate, stop.clone()));
        Self {
            spool,
            lane,
            draining,
            stop,
            serving,
            _folder: folder,
        }
    }

    async fn next(&mut self) -> PublishRequest {
        let next = timeout(DEADLINE, self.lane.requests.recv());
        next.await.expect("a request").expect("an open lane")
    }

    async fn holds(&self, events: u64) {
        wait_until("the spool holds so many", DEADLINE, async || {
            self.spool.standing().unwrap().events == events
        })
        .await;
    }

    async fn stop(mut self) -> Spool {
        self.stop.cancel();
        // Whoever serves a lane answers everything in it at the end.
        self.lane.close();
        timeout(DEADLINE, self.draining).await.unwrap().unwrap();
        self.serving.cancel();
        self.spool.stopped().await;
        self.spool
    }
}

fn event(number: usize) -> Envelope {
    Envelope {
        event_id: number.to_string().parse().unwrap(),
        source: "default".parse().unwrap(),
        body: Bytes::from_static(b"{}"),
        content_type: None,
        received_at: UnixMicros(1_763_900_000_123_456),
        signed_at: None,
        signature_digest: None,
        attempt: Attempt::FIRST,
        parked: 0,
        replays: 0,
        note: None,
        traceparent: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_leaves_the_spool_only_after_the_broker_has_confirmed_it() {
    // One at a time.
    let mut bench = Bench::new(3, 10).await;
    for why in [
        PublishError::Refused,
        PublishError::NoVerdict,
        PublishError::Overloaded,
    ] {
        let request = bench.next().await;
        assert_eq!(request.envelope, event(0));
        assert_eq!(bench.spool.standing().unwrap().events, 3);
        request.refuse(why);
    }
    // The oldest goes first, however often it was refused.
    for left in (0..3).rev() {
        let request = bench.next().await;
        assert_eq!(request.envelope, event(2 - left));
        assert_eq!(bench.spool.standing().unwrap().events, left as u64 + 1);
        request.confirm();
        bench.holds(left as u64).await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_drains_at_most_at_its_rate() {
    let (count, rate) = (60, 60);
    let mut bench = Bench::new(count, rate).await;
    let started = Instant::now();
    for _ in 0..count {
        bench.next().await.confirm();
    }
    // The last batch of six leaves as its tenth of a second begins.
    assert!(
        started.elapsed() >= Duration::from_millis(890),
        "{:?}",
        started.elapsed()
    );
    bench.holds(0).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_verdict_it_has_asked_for_and_leaves_the_rest() {
    let mut bench = Bench::new(5, 10).await;
    let request = bench.next().await;
    bench.stop.cancel();
    tokio::task::yield_now().await;
    assert!(!bench.draining.is_finished());
    request.confirm();
    let spool = bench.stop().await;
    assert_eq!(spool.standing().unwrap().events, 4);

    let mut bench = Bench::new(1, 10).await;
    bench.next().await.refuse(PublishError::Away);
    let spool = bench.stop().await;
    assert_eq!(spool.standing().unwrap().events, 1);
}
