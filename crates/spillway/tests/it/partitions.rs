//! The network between our programs and what they stand on: silent one way or both, reset, torn in the
//! middle of a frame, and losing the one answer that matters.

use crate::queues::all_drained;
use crate::usage::Usage;
use chaos::sender::{Event, Flow};
use chaos::system::{Corner, Node, Servers, audit};
use std::time::{Duration, Instant};
use testkit::{Proxy, Way, wait_until};
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: usize = 4;
const MORE: usize = 100;

/// A door and a worker, each with a network of its own to the corner's servers.
struct Wired {
    corner: Corner,
    servers: Servers,
    door: Proxy,
    queue: Proxy,
    ledger: Proxy,
    ingest: Node,
    worker: Node,
}

impl Wired {
    async fn new() -> Self {
        let corner = Corner::new().await;
        let door = Proxy::before(&corner.servers.broker).await.unwrap();
        let queue = Proxy::before(&corner.servers.broker).await.unwrap();
        let ledger = Proxy::before(&corner.servers.ledger).await.unwrap();
        let servers = |broker: &Proxy| Servers {
            broker: broker.url().to_owned(),
            ledger: ledger.url().to_owned(),
            ..corner.servers.clone()
        };
        let (ingest, worker) = (
            servers(&door).ingest().await,
            servers(&queue).worker().await,
        );
        Self {
            servers: corner.servers.clone(),
            corner,
            door,
            queue,
            ledger,
            ingest,
            worker,
        }
    }

    fn flow(&self, name: &str) -> Flow {
        Flow::start(name, vec![self.ingest.url.clone()], SENDERS)
    }

    async fn is_taken_again(&self, id: &str) {
        wait_until("events are taken again", PATIENCE, async || {
            Event::payment(id).send(&self.ingest.url).await.status() == 200
        })
        .await;
    }

    async fn endings(&self, outcome: &str) -> f64 {
        let sample =
            format!(r#"spillway_worker_events_total{{outcome="{outcome}",pipeline="payments"}}"#);
        self.worker.metric(&sample).await
    }
}

/// Events flow, the network fails while they do, and flow again when it is whole.
async fn heals_by_itself(break_it: impl AsyncFnOnce(&Wired)) -> Wired {
    let wired = Wired::new().await;
    let flow = wired.flow("before");
    flow.go_on(MORE).await;
    // A worker is ready before it consumes, and what it does not have cannot break.
    wait_until("the worker consumes", PATIENCE, async || {
        wired.endings("applied").await > 0.0
    })
    .await;
    let before = [Usage::of(&wired.ingest), Usage::of(&wired.worker)];
    break_it(&wired).await;
    let mut answers = flow.stop().await;
    for proxy in [&wired.door, &wired.queue, &wired.ledger] {
        proxy.pass();
    }
    wired.is_taken_again("evt_again").await;
    let flow = wired.flow("after");
    flow.go_on(MORE).await;
    answers.extend(flow.stop().await);
    answers.sent.insert("evt_again".to_owned());
    answers.sent.insert("evt_during".to_owned());
    audit(&wired.servers.books(), &answers).await;
    let (management, vhost) = (wired.corner.vhost.management(), wired.corner.vhost.name());
    all_drained(management, vhost).await;
    before[0].is_again_that_of(&wired.ingest).await;
    before[1].is_again_that_of(&wired.worker).await;
    wired
}

/// Silence for longer than the door waits for a confirm (3 s), and shorter than the heartbeats' 20 s.
const SHORT: Duration = Duration::from_secs(5);

async fn is_silent_for(what: &str, silence: Duration) {
    let started = Instant::now();
    wait_until(what, 2 * silence, async || started.elapsed() > silence).await;
}

async fn the_door_answers_in_time(wired: &Wired) {
    let started = Instant::now();
    let answer = Event::payment("evt_during").send(&wired.ingest.url).await;
    assert_eq!(answer.status(), 503);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "the answer took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_the_broker_does_not_hear_answers_in_time_and_recovers() {
    heals_by_itself(async |wired: &Wired| {
        wired.door.black_hole(Way::Up);
        the_door_answers_in_time(wired).await;
        is_silent_for("nothing was heard for long", SHORT).await;
        the_door_answers_in_time(wired).await;
    })
    .await;
}

/// What it sends is stored, and it never learns so: the sender is told to send again.
#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_does_not_hear_the_broker_answers_in_time_and_recovers() {
    heals_by_itself(async |wired: &Wired| {
        wired.door.black_hole(Way::Down);
        the_door_answers_in_time(wired).await;
        is_silent_for("nothing was heard for long", SHORT).await;
        the_door_answers_in_time(wired).await;
    })
    .await;
}

/// It applies what it has in hand and its acks are lost: when the broker gives it up, everything in hand
/// comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_its_broker_has_not_heard_for_long_applies_nothing_twice() {
    let wired = heals_by_itself(async |wired: &Wired| {
        wired.queue.black_hole(Way::Up);
        wait_until("the broker has given it up", PATIENCE, async || {
            let output = wired.worker.running.output();
            output.contains("lost the broker for consuming")
        })
        .await;
    })
    .await;
    let duplicates = wired.endings("duplicate").await;
    assert!(duplicates > 0.0, "no ack was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_again_and_again_double_nothing() {
    const RESETS: usize = 20;
    heals_by_itself(async |wired: &Wired| {
        for _ in 0..RESETS {
            for proxy in [&wired.door, &wired.queue, &wired.ledger] {
                wait_until("it is connected", PATIENCE, async || {
                    proxy.connections() > 0
                })
                .await;
                proxy.reset();
            }
        }
    })
    .await;
}

/// 1,000 bytes end in the middle of a frame: at the door of a publish, at the worker of a delivery or an
/// ack, at the ledger of a statement or its answer. New connections are torn in their handshake already.
#[tokio::test(flavor = "multi_thread")]
async fn frames_torn_in_the_middle_double_nothing() {
    const TEARS: usize = 2;
    heals_by_itself(async |wired: &Wired| {
        for way in [Way::Up, Way::Down] {
            for (proxy, node, sign) in [
                (&wired.door, &wired.ingest, "the broker for publishing"),
                (&wired.queue, &wired.worker, "the broker for consuming"),
                (&wired.ledger, &wired.worker, "could not be applied"),
            ] {
                let signs = || node.running.output().matches(sign).count();
                let before = signs();
                proxy.cut_after(way, 1_000);
                wait_until("some are torn", PATIENCE, async || {
                    signs() >= before + TEARS
                })
                .await;
                proxy.pass();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_come_in_crumbs_are_understood() {
    const TAKEN: usize = 50;
    heals_by_itself(async |wired: &Wired| {
        for proxy in [&wired.door, &wired.queue, &wired.ledger] {
            proxy.slice(16);
        }
        for _ in 0..TAKEN {
            wired.is_taken_again("evt_during").await;
        }
    })
    .await;
}

/// Makes each COMMIT with a payment in it take a second.
const SLOW_COMMIT: &str = "
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON payments
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();";

/// COMMIT arrives, Postgres commits, and nobody hears so: the worker may neither ack nor apply again.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_found_and_not_applied_again() {
    let wired = Wired::new().await;
    let books = wired.servers.books();
    let connecting = tokio_postgres::connect(&wired.servers.ledger, NoTls).await;
    let (client, connection) = connecting.unwrap();
    tokio::spawn(async { connection.await.ok() });
    client.batch_execute(SLOW_COMMIT).await.unwrap();
    wired.is_taken_again("evt_1").await;
    let committing = "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE relation = 'payments'::regclass AND wait_event = 'PgSleep'";
    wait_until("it is being committed", PATIENCE, async || {
        !client.query(committing, &[]).await.unwrap().is_empty()
    })
    .await;
    wired.ledger.black_hole(Way::Down);
    wait_until("it is committed", PATIENCE, async || {
        books.payments().await.len() == 1
    })
    .await;
    assert_eq!(wired.endings("applied").await, 0.0, "nobody knows yet");
    wired.ledger.reset();
    wired.ledger.pass();
    wait_until("it is found", PATIENCE, async || {
        wired.endings("duplicate").await > 0.0
    })
    .await;
    assert_eq!(wired.endings("applied").await, 0.0);
    let (management, vhost) = (wired.corner.vhost.management(), wired.corner.vhost.name());
    all_drained(management, vhost).await;
    assert_eq!(books.payments().await, [("evt_1".to_owned(), 1)].into());
    assert!(books.dead().await.is_empty());
}
