//! Everything that stands is stopped, frozen, cut off or killed, and nobody has to start anything by hand
//! but what was killed.

use crate::queues::{DEFAULT_VHOST, all_drained, cut_connections};
use crate::raw::{Raw, address, honest_head};
use crate::usage::Usage;
use chaos::sender::{Event, Flow};
use chaos::system::{AT_ONCE, Corner, KILLABLE, Servers, audit};
use std::time::{Duration, Instant};
use testkit::{Database, Postgres, RabbitMq, Redis, wait_until};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: usize = 4;
/// Events accepted between two steps.
const MORE: usize = 100;
const DUPLICATES: &str = r#"spillway_worker_events_total{outcome="duplicate",pipeline="payments"}"#;

/// The corner's ledger and Redis around a broker that is this test's to break.
fn around(broker: &RabbitMq, corner: &Corner, settle: &'static str) -> Servers {
    Servers {
        broker: broker.url(),
        settle,
        ..corner.servers.clone()
    }
}

/// Makes the worker wait with a batch in its hands, until the client commits.
async fn holding_up(servers: &Servers) -> Client {
    let connecting = tokio_postgres::connect(&servers.ledger, NoTls).await;
    let (client, connection) = connecting.unwrap();
    tokio::spawn(async { connection.await.ok() });
    let lock = "BEGIN; LOCK TABLE processed_webhooks IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.unwrap();
    let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted
                   AND relation = 'processed_webhooks'::regclass";
    wait_until("a batch is in hand", PATIENCE, async || {
        !client.query(waiting, &[]).await.unwrap().is_empty()
    })
    .await;
    client
}

async fn is_refused_in_time(url: &str, id: &str) {
    let started = Instant::now();
    assert_eq!(Event::payment(id).send(url).await.status(), 503);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "the answer took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_stopped_and_started_in_place_is_found_again() {
    let (corner, broker) = (Corner::new().await, RabbitMq::start().await.unwrap());
    let servers = around(&broker, &corner, AT_ONCE);
    let (ingest, worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("before", vec![ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    let before = [Usage::of(&ingest), Usage::of(&worker)];
    broker.ctl(&["stop_app"]).await.unwrap();
    let mut answers = flow.stop().await;
    is_refused_in_time(&ingest.url, "evt_away").await;
    broker.ctl(&["start_app"]).await.unwrap();
    let flow = Flow::start("after", vec![ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    answers.extend(flow.stop().await);
    audit(&servers.books(), &answers).await;
    all_drained(broker.management(), DEFAULT_VHOST).await;
    before[0].is_again_that_of(&ingest).await;
    before[1].is_again_that_of(&worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_that_come_after_their_connection_was_cut_count_for_nothing() {
    const CUTS: usize = 3;
    let corner = Corner::new().await;
    let (ingest, worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let flow = Flow::start("cut", vec![ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    let before = [Usage::of(&ingest), Usage::of(&worker)];
    let (management, vhost) = (corner.vhost.management(), corner.vhost.name());
    for _ in 0..CUTS {
        let held = holding_up(&corner.servers).await;
        // The broker lists a connection only when it has counted it.
        wait_until("all are cut", PATIENCE, async || {
            cut_connections(management, vhost).await >= 4
        })
        .await;
        held.batch_execute("COMMIT").await.unwrap();
        flow.go_on(MORE).await;
    }
    audit(&corner.servers.books(), &flow.stop().await).await;
    all_drained(management, vhost).await;
    let came_again = worker.metric(DUPLICATES).await;
    assert!(came_again > 0.0, "nothing was in hand at a cut");
    before[0].is_again_that_of(&ingest).await;
    before[1].is_again_that_of(&worker).await;
}

/// Longer than the 20 s after which both sides give a silent peer up.
const FROZEN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_frozen_until_everybody_gave_it_up_doubles_nothing() {
    let (corner, mut broker) = (Corner::new().await, RabbitMq::start().await.unwrap());
    let servers = around(&broker, &corner, AT_ONCE);
    let (ingest, worker) = (servers.ingest().await, servers.worker().await);
    let flow = Flow::start("before", vec![ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    let before = [Usage::of(&ingest), Usage::of(&worker)];
    let held = holding_up(&servers).await;
    broker.freeze().unwrap();
    let frozen = Instant::now();
    let mut answers = flow.stop().await;
    is_refused_in_time(&ingest.url, "evt_away").await;
    wait_until("the worker has given it up", 2 * FROZEN, async || {
        let output = worker.running.output();
        output.contains("lost the broker for consuming")
    })
    .await;
    // Applied only now: its acks belong to a session that is over.
    held.batch_execute("COMMIT").await.unwrap();
    wait_until("it was frozen for long", 2 * FROZEN, async || {
        frozen.elapsed() > FROZEN
    })
    .await;
    is_refused_in_time(&ingest.url, "evt_still_away").await;
    broker.thaw().unwrap();
    wait_until("events are taken again", PATIENCE, async || {
        Event::payment("evt_back").send(&ingest.url).await.status() == 200
    })
    .await;
    let flow = Flow::start("after", vec![ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    answers.extend(flow.stop().await);
    let ours = ["evt_away", "evt_still_away", "evt_back"];
    answers.sent.extend(ours.map(str::to_owned));
    audit(&servers.books(), &answers).await;
    all_drained(broker.management(), DEFAULT_VHOST).await;
    let came_again = worker.metric(DUPLICATES).await;
    assert!(came_again > 0.0, "nothing was in hand when it froze");
    before[0].is_again_that_of(&ingest).await;
    before[1].is_again_that_of(&worker).await;
}

/// A machine room that loses its power, and gets it back in the worst order.
struct Site {
    broker: RabbitMq,
    postgres: Postgres,
    redis: Redis,
    servers: Servers,
    _database: Database,
}

impl Site {
    async fn start() -> Self {
        let (broker, postgres, redis) =
            tokio::join!(RabbitMq::start(), Postgres::start_durable(), Redis::start());
        let (broker, postgres, redis) = (broker.unwrap(), postgres.unwrap(), redis.unwrap());
        let database = postgres.database().await.unwrap();
        let servers = Servers {
            broker: broker.url(),
            ledger: database.url().to_owned(),
            recall: redis.url(),
            settle: KILLABLE,
            backlog: chaos::system::UNBOUNDED,
        };
        Self {
            broker,
            postgres,
            redis,
            servers,
            _database: database,
        }
    }

    fn kill(&mut self) {
        self.broker.kill().unwrap();
        self.postgres.kill().unwrap();
        self.redis.kill().unwrap();
    }

    async fn restart(&mut self) {
        let Self {
            broker,
            postgres,
            redis,
            ..
        } = self;
        let (broker, postgres, redis) =
            tokio::join!(broker.restart(), postgres.restart(), redis.restart());
        broker.and(postgres).and(redis).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_killed_at_once_comes_back_with_every_event_it_had_accepted() {
    let mut site = Site::start().await;
    let mut nodes = [
        site.servers.ingest().await,
        site.servers.ingest().await,
        site.servers.worker().await,
        site.servers.worker().await,
    ];
    let urls = vec![nodes[0].url.clone(), nodes[1].url.clone()];
    let flow = Flow::start("before", urls.clone(), SENDERS);
    flow.go_on(3 * MORE).await;
    for node in &mut nodes {
        node.running.kill().unwrap();
    }
    site.kill();
    let mut answers = flow.stop().await;
    // The programs first: what they stand on is not there yet.
    for node in &mut nodes {
        assert!(node.restart_if_dead().await);
    }
    site.restart().await;
    for node in &nodes {
        node.ready().await;
    }
    let flow = Flow::start("after", urls, SENDERS);
    flow.go_on(MORE).await;
    answers.extend(flow.stop().await);
    audit(&site.servers.books(), &answers).await;
    all_drained(site.broker.management(), DEFAULT_VHOST).await;
}

/// Half of each request is in when the door is told to stop.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_half_way_in_when_a_door_is_stopped_are_answered() {
    const HALF_WAY: usize = 50;
    let corner = Corner::new().await;
    let (mut leaving, staying) = (corner.servers.ingest().await, corner.servers.ingest().await);
    let _worker = corner.servers.worker().await;
    let flow = Flow::start("rolling", vec![staying.url.clone()], SENDERS);
    let mut half_way = Vec::new();
    for number in 0..HALF_WAY {
        let event = Event::payment(&format!("half_way_{number}"));
        let mut raw = Raw::connect(&leaving.url).await;
        raw.write(honest_head(&event)).await;
        raw.write(&event.body[..10]).await;
        half_way.push((raw, event));
    }
    // Connections are accepted in their order: once this one is answered, those before it are in.
    let last = Event::payment("evt_last").send(&leaving.url).await;
    assert_eq!(last.status(), 200);
    leaving.running.terminate().unwrap();
    wait_until("nobody new is let in", PATIENCE, async || {
        TcpStream::connect(address(&leaving.url)).await.is_err()
    })
    .await;
    flow.go_on(MORE).await;
    let mut answers = flow.stop().await;
    answers.accepted.insert("evt_last".to_owned());
    for (mut raw, event) in half_way {
        raw.write(&event.body[10..]).await;
        assert_eq!(raw.status().await, Some(200), "{}", event.id);
        answers.accepted.insert(event.id);
    }
    let status = leaving.running.wait(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
    answers.sent.extend(answers.accepted.clone());
    audit(&corner.servers.books(), &answers).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
}

/// One after the other, each replaced before the next one goes.
#[tokio::test(flavor = "multi_thread")]
async fn workers_replaced_in_turn_under_load_fail_no_request_and_double_nothing() {
    let corner = Corner::new().await;
    let servers = &corner.servers;
    let staying = servers.ingest().await;
    let mut workers = vec![servers.worker().await, servers.worker().await];
    let flow = Flow::start("rolling", vec![staying.url.clone()], SENDERS);
    for _ in 0..4 {
        flow.go_on(MORE).await;
        let mut leaving = workers.remove(0);
        leaving.terminate().await;
        workers.push(servers.worker().await);
    }
    flow.go_on(MORE).await;
    let answers = flow.stop().await;
    assert_eq!(answers.sent, answers.accepted, "a request failed");
    audit(&servers.books(), &answers).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
}
