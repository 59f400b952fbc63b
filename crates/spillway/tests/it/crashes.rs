//! An event that kills whoever works on it, and events that were only in hand when somebody was killed.

use crate::walk::drained;
use chaos::sender::{Event, Flow};
use chaos::system::{Corner, Node, audit, serve_with};
use std::time::{Duration, Instant};
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);
const DEADLY: &str = "evt_deadly";
const NEIGHBOURS: usize = 40;
const WHEN_APPLYING: &str = "SPILLWAY_TEST_CRASH_WHEN_APPLYING";
const WHEN_DECODING: &str = "SPILLWAY_TEST_CRASH_WHEN_DECODING";

/// Two deaths make a suspect, and three starts condemn it. With Redis there may be one more: the dead
/// worker's claim parks the event, and what comes back from there has not been counted.
const DEATHS: std::ops::RangeInclusive<usize> = 5..=6;

fn neighbour(number: usize) -> Event {
    Event::payment(&format!("neighbour_{number}"))
}

/// Starts the program again each time the event has killed it, until `condemned`.
async fn restart_until(node: &mut Node, condemned: impl AsyncFn() -> bool) {
    let (started, mut deaths) = (Instant::now(), 0);
    while !condemned().await {
        assert!(started.elapsed() < PATIENCE, "{deaths} deaths and no end");
        deaths += usize::from(node.restart_if_dead().await);
    }
    assert!(DEATHS.contains(&deaths), "it killed {deaths} times");
}

async fn an_event_that_kills_is_condemned_on_real_servers(variable: &str) {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let mut worker = corner.servers.worker_with(variable, DEADLY).await;
    for number in 0..NEIGHBOURS {
        assert_eq!(neighbour(number).send(&ingest.url).await.status(), 200);
        if number == NEIGHBOURS / 2 {
            let deadly = Event::payment(DEADLY).send(&ingest.url).await;
            assert_eq!(deadly.status(), 200);
        }
    }
    restart_until(&mut worker, async || {
        let dead = corner.vhost.ready("spillway.payments.dead").await;
        dead.is_ok_and(|letters| letters == 1)
    })
    .await;
    worker.ready().await;
    let books = corner.servers.books();
    wait_until("all its neighbours are applied", PATIENCE, async || {
        books.payments().await.len() == NEIGHBOURS
    })
    .await;
    drained(&corner).await;
    worker.terminate().await;

    // Only now: it runs a worker of its own, which nothing kills.
    let folder = tempfile::tempdir().unwrap();
    let _archiver = corner.servers.archiver(folder.path()).await;
    wait_until("the letter is archived", PATIENCE, async || {
        books.dead().await == [(DEADLY.to_owned(), "crash_loop".to_owned())].into()
    })
    .await;
    assert!(!books.payments().await.contains_key(DEADLY));
    assert_eq!(books.count("suspects").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_its_worker_is_condemned_and_its_neighbours_are_applied() {
    an_event_that_kills_is_condemned_on_real_servers(WHEN_APPLYING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_kills_its_reader_is_condemned_and_its_neighbours_are_applied() {
    an_event_that_kills_is_condemned_on_real_servers(WHEN_DECODING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_serve_is_condemned_with_no_server_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (mut node, books) = serve_with(folder.path(), WHEN_APPLYING, DEADLY).await;
    // It may kill the door before that has answered: what reached the worker is stored all the same.
    let _ = Event::payment(DEADLY).to(&node.url).send().await;
    restart_until(&mut node, async || {
        books.dead().await == [(DEADLY.to_owned(), "crash_loop".to_owned())].into()
    })
    .await;
    node.ready().await;
    assert_eq!(neighbour(0).send(&node.url).await.status(), 200);
    wait_until("the next one is applied", PATIENCE, async || {
        books.payments().await.len() == 1
    })
    .await;
    assert_eq!(books.count("suspects").await, 0);
}

/// Each kill comes when the worker is up, and so with its hand full: the worst for who is in it.
#[tokio::test(flavor = "multi_thread")]
async fn kills_of_a_worker_with_healthy_events_leave_the_dead_queue_empty() {
    const KILLS: usize = 100;
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let flow = Flow::start("healthy", vec![ingest.url.clone()], 4);
    flow.go_on(300).await;
    let mut worker = corner.servers.worker().await;
    for kill in 0..KILLS {
        worker.kill_and_restart().await;
        flow.go_on(kill % 5).await;
    }
    let answers = flow.stop().await;
    let books = corner.servers.books();
    audit(&books, &answers).await;
    drained(&corner).await;
    let dead = async || corner.vhost.ready("spillway.payments.dead").await.ok();
    assert_eq!(wait_until("it is counted", PATIENCE, dead).await, 0);
    wait_until("no suspect is left", PATIENCE, async || {
        books.count("suspects").await == 0
    })
    .await;
}
