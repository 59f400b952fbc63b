//! Full: the queue by an operator's policy, the table of file descriptors. What is too much is
//! refused, what was accepted is kept, and it ends by itself.

use crate::queues::all_drained;
use crate::raw::Raw;
use crate::usage::Usage;
use chaos::sender::{Answers, Event, Flow};
use chaos::system::{Corner, Node, Servers, audit, serve};
use reqwest::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use testkit::{Proxy, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: usize = 4;
const MORE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_by_policy_is_a_503_and_drops_nothing_it_had_taken() {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let (management, vhost) = (corner.vhost.management(), corner.vhost.name());
    let policy = serde_json::json!({
        "pattern": "^spillway.payments$",
        "apply-to": "queues",
        "definition": { "max-length": 100, "overflow": "reject-publish" },
    });
    let path = format!("policies/{vhost}/full");
    management.put(&path, &policy).await.unwrap();
    let answers = Mutex::new(Answers::default());
    wait_until("the queue is full", PATIENCE, async || {
        let id = format!("evt_{}", answers.lock().unwrap().sent.len());
        let status = Event::payment(&id).send(&ingest.url).await.status();
        let mut answers = answers.lock().unwrap();
        answers.sent.insert(id.clone());
        if status == StatusCode::OK {
            answers.accepted.insert(id);
        }
        status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let mut answers = answers.into_inner().unwrap();
    assert!(answers.accepted.len() >= 100, "{}", answers.accepted.len());
    let refused = r#"spillway_ingest_requests_total{outcome="broker_refused",source="default"}"#;
    assert!(ingest.metric(refused).await > 0.0);
    let _worker = corner.servers.worker().await;
    wait_until("events are taken again", PATIENCE, async || {
        let again = Event::payment("evt_again").send(&ingest.url).await;
        again.status() == 200
    })
    .await;
    answers.sent.insert("evt_again".to_owned());
    answers.accepted.insert("evt_again".to_owned());
    audit(&corner.servers.books(), &answers).await;
    all_drained(management, vhost).await;
}

/// Leaves a running program room for this many descriptors more than it has.
fn leave_descriptors(node: &Node, more: usize) {
    let limit = Usage::of(node).descriptors + more;
    let set = Command::new("prlimit")
        .args(["--pid", &node.running.pid().to_string()])
        .arg(format!("--nofile={limit}:"))
        .status();
    assert!(set.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_without_descriptors_takes_events_again_once_it_has_some() {
    const HOARDED: usize = 40;
    let corner = Corner::new().await;
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let flow = Flow::start("door", vec![ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    let before = Usage::of(&ingest);
    leave_descriptors(&ingest, 20);
    let mut hoarded = Vec::new();
    for _ in 0..HOARDED {
        hoarded.push(Raw::connect(&ingest.url).await);
    }
    wait_until("it has none left", PATIENCE, async || {
        let output = ingest.running.output();
        output.contains("cannot accept a connection")
    })
    .await;
    // Nor has it one for a new connection to the broker, until the silent are hung up on.
    wait_until("it is cut off", PATIENCE, async || {
        let (management, vhost) = (corner.vhost.management(), corner.vhost.name());
        crate::queues::cut_connections(management, vhost).await >= 2
    })
    .await;
    flow.go_on(MORE).await;
    drop(hoarded);
    audit(&corner.servers.books(), &flow.stop().await).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
    assert!(!ingest.running.output().contains("panicked"));
    before.is_again_that_of(&ingest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_makes_room_for_its_connections_where_the_shell_has_left_it_little() {
    let ours = getrlimit(Resource::Nofile);
    let little = Rlimit {
        current: Some(512),
        maximum: ours.maximum,
    };
    let folder = tempfile::tempdir().unwrap();
    // Inherited at the start; given back for whoever comes after us.
    setrlimit(Resource::Nofile, little).unwrap();
    let (node, _books) = serve(folder.path()).await;
    setrlimit(Resource::Nofile, ours).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.running.pid()));
    let limits = limits.unwrap();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut files = files.unwrap().split_whitespace();
    let (soft, hard) = (files.next().unwrap(), files.next().unwrap());
    let is_enough = |limit: &str| limit.parse().is_ok_and(|limit: u64| limit > 8_192);
    assert!(is_enough(soft) || soft == hard, "{limits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_descriptors_goes_on_once_it_has_some() {
    let corner = Corner::new().await;
    let (ledger, broker) = (
        Proxy::before(&corner.servers.ledger).await.unwrap(),
        Proxy::before(&corner.servers.broker).await.unwrap(),
    );
    let servers = Servers {
        ledger: ledger.url().to_owned(),
        broker: broker.url().to_owned(),
        ..corner.servers.clone()
    };
    let (ingest, worker) = (corner.servers.ingest().await, servers.worker().await);
    let flow = Flow::start("worker", vec![ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    // What it loses now it cannot open again.
    let before = Usage::of(&worker);
    let few = Command::new("prlimit")
        .args(["--pid", &worker.running.pid().to_string(), "--nofile=8:"])
        .status();
    assert!(few.unwrap().success());
    ledger.reset();
    broker.reset();
    wait_until("it cannot connect", PATIENCE, async || {
        let output = worker.running.output();
        output.contains("cannot reach the broker") || output.contains("Too many open files")
    })
    .await;
    // The door does not notice.
    flow.go_on(MORE).await;
    leave_descriptors(&worker, 200);
    flow.go_on(MORE).await;
    audit(&corner.servers.books(), &flow.stop().await).await;
    all_drained(corner.vhost.management(), corner.vhost.name()).await;
    before.is_again_that_of(&worker).await;
}
