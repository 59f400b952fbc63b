//! The spool: what an ingest with a spool has answered 202 for is applied, whatever happens to it.

use chaos::books::Books;
use chaos::sender::{Answers, Event, Flow, SECRET, client};
use chaos::system::{AT_ONCE, Corner, KILLABLE, Servers, audit, serve};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{Program, Proxy, RabbitMq, Running, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: usize = 4;
const AWAY: &str = r#"spillway_ingest_requests_total{outcome="spooled",source="default"}"#;

/// An ingest with a spool of its own.
struct Ingest {
    running: Running,
    program: Program,
    admin: String,
    url: String,
    spool: PathBuf,
    _folder: TempDir,
}

impl Ingest {
    /// With these lines in its `[spool]`.
    async fn start(broker: &str, settle: &str, lines: &str) -> Self {
        // Not the system's temporary folder, which may lie in memory.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (config, spool) = (folder.path().join("c.toml"), folder.path().join("spool.db"));
        let bounds = "[ingest]\nbody_max_bytes = 262144\n";
        std::fs::write(&config, format!("{bounds}[spool]\n{lines}\n")).unwrap();
        let (public, admin) = (free_port(), free_port());
        let program = Program::new("spillway-ingest")
            .args(["--listen", &format!("127.0.0.1:{public}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
            .arg("--config")
            .arg(&config)
            .env("SPILLWAY_BROKER_URL", broker)
            .env("SPILLWAY_BROKER_SETTLE_NEW_QUEUES", settle)
            .env("SPILLWAY_SPOOL_PATH", &spool)
            .env("WEBHOOK_SECRET", SECRET);
        let ingest = Self {
            running: program.spawn().unwrap(),
            program,
            admin: format!("http://127.0.0.1:{admin}"),
            url: format!("http://127.0.0.1:{public}/webhook"),
            spool,
            _folder: folder,
        };
        ingest.ready().await;
        ingest
    }

    async fn get(&self, page: &str) -> Option<reqwest::Response> {
        let answer = client().get(format!("{}/{page}", self.admin)).send().await;
        answer.ok().filter(|answer| answer.status().is_success())
    }

    async fn ready(&self) {
        wait_until("ingest is ready", PATIENCE, async || {
            self.get("readyz").await.is_some()
        })
        .await;
    }

    async fn metric(&self, sample: &str) -> f64 {
        let page = self.get("metrics").await.unwrap().text().await.unwrap();
        let line = page.lines().find(|line| line.starts_with(sample));
        let line = line.unwrap_or_else(|| panic!("no sample {sample} in\n{page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    async fn kill_and_restart(&mut self) {
        self.running.kill().unwrap();
        self.running = self.program.spawn().unwrap();
        self.ready().await;
    }

    async fn terminate(&mut self) {
        self.running.terminate().unwrap();
        let status = self.running.wait(Duration::from_secs(15)).await.unwrap();
        assert!(status.success(), "{status}\n{}", self.running.output());
    }

    /// Sends it and expects a 202 in time; returns its id.
    async fn is_spooled(&self, event: Event) -> String {
        let started = Instant::now();
        let answer = event.send(&self.url).await;
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "it took {:?}",
            started.elapsed()
        );
        assert_eq!(answer.status(), 202);
        let expected = format!(
            r#"{{"message":"Event accepted and spooled","eventId":"{}"}}"#,
            event.id
        );
        assert_eq!(answer.text().await.unwrap(), expected);
        event.id
    }

    /// Being ready says nothing about the broker here.
    async fn reaches_its_broker(&self) -> String {
        let id = "evt_probe";
        wait_until("an event is on the broker", PATIENCE, async || {
            Event::payment(id).send(&self.url).await.status() == 200
        })
        .await;
        id.to_owned()
    }

    async fn is_drained(&self) {
        wait_until("the spool is empty", PATIENCE, async || {
            self.metric("spillway_spool_events").await == 0.0
        })
        .await;
    }
}

/// `spillway spool …` on this file: whether it succeeds, and what it says.
async fn command(verb: &str, path: &Path, broker: &str) -> (bool, String) {
    let mut running = Program::new("spillway")
        .args(["spool", verb, "--path"])
        .arg(path)
        .env("SPILLWAY_BROKER_URL", broker)
        .env("SPILLWAY_BROKER_SETTLE_NEW_QUEUES", AT_ONCE)
        .spawn()
        .unwrap();
    let status = running.wait(PATIENCE).await.unwrap();
    (status.success(), running.output())
}

/// Where no broker listens.
fn nowhere() -> String {
    format!("amqp://guest:guest@127.0.0.1:{}/%2f", free_port())
}

fn obligations(ids: impl IntoIterator<Item = String>) -> Answers {
    let accepted: std::collections::BTreeSet<_> = ids.into_iter().collect();
    Answers {
        sent: accepted.clone(),
        spooled: accepted.clone(),
        accepted,
        ..Answers::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spooled_while_the_broker_is_away_is_applied_although_ingest_is_killed() {
    let corner = Corner::new().await;
    let mut broker = RabbitMq::start().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        settle: KILLABLE,
        ..corner.servers.clone()
    };
    let mut ingest = Ingest::start(&broker.url(), KILLABLE, "").await;
    let probe = ingest.reaches_its_broker().await;
    let _worker = servers.worker().await;
    let flow = Flow::start("spooled", vec![ingest.url.clone()], SENDERS);
    flow.go_on(100).await;
    broker.kill().unwrap();
    flow.go_on(100).await;
    // It is ready without a broker, since it takes everything.
    ingest.kill_and_restart().await;
    flow.go_on(100).await;
    ingest.kill_and_restart().await;
    broker.restart().await.unwrap();
    flow.go_on(100).await;
    // And once more, while it drains or has just done so.
    ingest.kill_and_restart().await;
    flow.go_on(100).await;
    let mut answers = flow.stop().await;
    answers.sent.insert(probe.clone());
    answers.accepted.insert(probe);
    println!("answered 202: {}", answers.spooled.len());
    assert!(answers.spooled.len() >= 150, "{}", answers.spooled.len());
    audit(&servers.books(), &answers).await;
    ingest.is_drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_spool_drains_new_events_go_straight_to_the_broker_and_a_stop_leaves_the_rest() {
    let corner = Corner::new().await;
    let mut broker = RabbitMq::start().await.unwrap();
    broker.stop().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        ..corner.servers.clone()
    };
    let mut ingest = Ingest::start(&broker.url(), AT_ONCE, "drain_rate = 5").await;
    let mut ids = Vec::new();
    for number in 0..100 {
        let event = Event::payment(&format!("evt_{number:03}"));
        ids.push(ingest.is_spooled(event).await);
    }
    assert_eq!(ingest.metric(AWAY).await, 100.0);
    broker.restart().await.unwrap();
    wait_until("it begins to drain", PATIENCE, async || {
        ingest.metric("spillway_spool_events").await < 100.0
    })
    .await;
    let _worker = servers.worker().await;
    let (first, last) = ("evt_000", "evt_099");
    let books = servers.books();
    wait_until("it drains from its oldest", PATIENCE, async || {
        books.payments().await.contains_key(first)
    })
    .await;
    // At this rate it takes 20 seconds; who comes now does not wait for them.
    let new = Event::payment("evt_new");
    assert_eq!(new.send(&ingest.url).await.status(), 200);
    ids.push(new.id);
    wait_until("the new one is applied", PATIENCE, async || {
        books.payments().await.contains_key("evt_new")
    })
    .await;
    assert!(
        !books.payments().await.contains_key(last),
        "it drained faster than it may"
    );
    ingest.terminate().await;

    // The ingest does not come back: somebody else empties its spool.
    let (_, told) = command("status", &ingest.spool, &broker.url()).await;
    let left: u64 = told.split(' ').next().unwrap().parse().unwrap();
    assert!((1..100).contains(&left), "{told}");
    let (drained, told) = command("drain", &ingest.spool, &broker.url()).await;
    assert!(
        drained && told.contains(&format!("{left} events drained, 0 left")),
        "{told}"
    );
    audit(&books, &obligations(ids)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_costs_a_202_in_time_and_applies_nothing_twice() {
    let corner = Corner::new().await;
    let mut broker = RabbitMq::start().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        ..corner.servers.clone()
    };
    let ingest = Ingest::start(&broker.url(), AT_ONCE, "").await;
    let mut ids = vec![ingest.reaches_its_broker().await];
    let _worker = servers.worker().await;
    broker.freeze().unwrap();
    // The first ones reach the broker's socket, and the broker when it thaws: they are there twice.
    for number in 0..6 {
        let event = Event::payment(&format!("evt_{number}"));
        ids.push(ingest.is_spooled(event).await);
    }
    broker.thaw().unwrap();
    audit(&servers.books(), &obligations(ids)).await;
    ingest.is_drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_an_alarm_events_are_spooled_and_follow_when_it_ends() {
    let corner = Corner::new().await;
    let broker = RabbitMq::start().await.unwrap();
    let servers = Servers {
        broker: broker.url(),
        ..corner.servers.clone()
    };
    let ingest = Ingest::start(&broker.url(), AT_ONCE, "").await;
    let mut ids = vec![ingest.reaches_its_broker().await];
    let _worker = servers.worker().await;
    let watermark = async |fraction| {
        let arguments = ["set_vm_memory_high_watermark", fraction];
        broker.ctl(&arguments).await.unwrap();
    };
    watermark("0.000001").await;
    for number in 0..30 {
        let event = Event::payment(&format!("evt_{number}"));
        ids.push(ingest.is_spooled(event).await);
    }
    let blocked = r#"spillway_publish_confirms_total{verdict="blocked"}"#;
    assert!(ingest.metric(blocked).await > 0.0);
    watermark("0.4").await;
    audit(&servers.books(), &obligations(ids)).await;
    ingest.is_drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_is_a_503_and_what_it_holds_is_drained_when_its_ingest_is_gone() {
    let mut ingest = Ingest::start(&nowhere(), AT_ONCE, "max_bytes = 1048576").await;
    let large = |number: usize| {
        let Event { id, body, .. } = Event::payment(&format!("evt_{number}"));
        let mut body = body;
        body.resize(100_000, b' ');
        Event::new(&id, body)
    };
    let mut ids = Vec::new();
    let refused = loop {
        let event = large(ids.len());
        let answer = event.send(&ingest.url).await;
        if answer.status() != 202 {
            break answer;
        }
        ids.push(event.id);
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(
        (8..=10).contains(&ids.len()),
        "{} of 100 kB in 1 MiB",
        ids.len()
    );
    let full = r#"spillway_ingest_requests_total{outcome="spool_full",source="default"}"#;
    assert_eq!(ingest.metric(full).await, 1.0);
    let count = ids.len();
    wait_until("the gauge says so", PATIENCE, async || {
        ingest.metric("spillway_spool_events").await == count as f64
    })
    .await;

    let folder = tempfile::tempdir().unwrap();
    let queue = format!("embedded:{}", folder.path().join("broker.db").display());
    let (drained, told) = command("drain", &ingest.spool, &queue).await;
    assert!(
        !drained && told.contains("another process is using it"),
        "{told}"
    );
    let (looked, told) = command("status", &ingest.spool, &queue).await;
    assert!(
        looked && told.starts_with(&format!("{count} events, ")),
        "{told}"
    );
    ingest.running.kill().unwrap();

    let (drained, told) = command("drain", &ingest.spool, &queue).await;
    assert!(
        drained && told.contains(&format!("{count} events drained, 0 left")),
        "{told}"
    );
    let (_node, books): (_, Books) = serve(folder.path()).await;
    audit(&books, &obligations(ids)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn an_ingest_whose_spool_would_lie_in_memory_does_not_start() {
    let mut running = Program::new("spillway-ingest")
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .env("SPILLWAY_BROKER_URL", nowhere())
        .env("SPILLWAY_SPOOL_PATH", "/dev/shm/spillway-spool.db")
        .env("WEBHOOK_SECRET", SECRET)
        .spawn()
        .unwrap();
    let status = running.wait(PATIENCE).await.unwrap();
    assert!(
        !status.success() && running.output().contains("tmpfs"),
        "{}",
        running.output()
    );
}

impl Ingest {
    /// The same again, to die at a place.
    fn restart_to_die_at(&mut self, place: &str) {
        self.running.kill().unwrap();
        let dying = self.program.clone().env("FAILPOINTS", place);
        self.running = dying.spawn().unwrap();
    }

    async fn has_died(&mut self) {
        let status = self.running.wait(PATIENCE).await.unwrap();
        assert!(!status.success(), "it ended by itself: {status}");
    }
}

/// A broker of the corner's that is away until told otherwise.
async fn away(corner: &Corner) -> Proxy {
    let broker = Proxy::before(&corner.servers.broker).await.unwrap();
    broker.refuse();
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_that_dies_between_the_confirm_and_the_spools_ack_applies_nothing_twice() {
    let corner = Corner::new().await;
    let broker = away(&corner).await;
    let mut ingest = Ingest::start(broker.url(), AT_ONCE, "").await;
    let mut spooled = Vec::new();
    for number in 0..20 {
        let event = Event::payment(&format!("evt_{number}"));
        spooled.push(ingest.is_spooled(event).await);
    }
    ingest.restart_to_die_at("spool.between_publish_and_ack=5*off->return");
    broker.pass();
    ingest.has_died().await;
    ingest.kill_and_restart().await;
    ingest.is_drained().await;
    let worker = corner.servers.worker().await;
    audit(&corner.servers.books(), &obligations(spooled)).await;
    let duplicates = r#"spillway_worker_events_total{outcome="duplicate",pipeline="payments"}"#;
    wait_until("what was published twice has come", PATIENCE, async || {
        worker.metric(duplicates).await > 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_in_the_spool_although_nobody_was_told_so_is_applied_once() {
    let corner = Corner::new().await;
    let broker = away(&corner).await;
    let mut ingest = Ingest::start(broker.url(), AT_ONCE, "").await;
    ingest.restart_to_die_at("ingest.after_keep=return");
    ingest.ready().await;
    let event = Event::payment("evt_kept");
    let answer = event.to(&ingest.url).send().await;
    assert!(answer.is_err(), "{answer:?}");
    ingest.has_died().await;
    broker.pass();
    ingest.kill_and_restart().await;
    ingest.is_drained().await;
    // The sender sends it again, as it should.
    wait_until("it is on the broker", PATIENCE, async || {
        event.send(&ingest.url).await.status() == 200
    })
    .await;
    let _worker = corner.servers.worker().await;
    audit(&corner.servers.books(), &obligations([event.id])).await;
}
