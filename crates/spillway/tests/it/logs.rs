//! What the programs write down: one line for each event that matters, and for a happy one only at debug.

use chaos::sender::Event;
use chaos::system::{Corner, Node, serve};
use serde_json::Value;
use std::time::Duration;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The JSON line that carries this message.
fn line(output: &str, message: &str) -> Value {
    let lines = output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut found = lines.filter(|line: &Value| line["message"] == message);
    let line = found.next();
    assert!(found.next().is_none(), "{message} twice in\n{output}");
    line.unwrap_or_else(|| panic!("no {message} in\n{output}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_followed_by_its_id_its_request_and_its_trace_from_door_to_worker() {
    let corner = Corner::new().await;
    let servers = &corner.servers;
    let json = |name| servers.program(name).env("SPILLWAY_LOG_FORMAT", "json");
    let debug = |name| json(name).env("RUST_LOG", "spillway=debug,ingest=debug,worker=debug");
    let (ingest, worker) = (debug("spillway-ingest"), debug("spillway-worker"));
    let (ingest, worker) = (Node::door(ingest).await, Node::worker(worker).await);
    let send = |event: Event| {
        event
            .to(&ingest.url)
            .header("x-request-id", "req-7")
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .send()
    };
    send(Event::payment("evt_traced")).await.unwrap();
    send(Event::new("evt_poison", "not json")).await.unwrap();
    wait_until("both have met their ending", PATIENCE, async || {
        let output = worker.running.output();
        output.contains("applied evt_traced") && output.contains("evt_poison of default is a dead")
    })
    .await;

    let output = ingest.running.output();
    let door = output.lines().find(|line| line.contains("evt_traced"));
    let door: Value = serde_json::from_str(door.unwrap()).unwrap();
    assert_eq!(door["message"], "queued an event of default");
    assert_eq!(door["request.id"], "req-7");
    assert_eq!(door["source.name"], "default");
    let output = worker.running.output();
    for message in ["took evt_traced", "applied evt_traced"] {
        let line = line(&output, message);
        assert_eq!(line["event.id"], "evt_traced", "{line}");
        assert_eq!(line["source.name"], "default", "{line}");
        assert_eq!(line["pipeline"], "payments", "{line}");
        assert_eq!(line["attempt"], 1, "{line}");
        let span = &line["spans"][0];
        assert_eq!(span["trace.id"], TRACE, "{line}");
        assert_eq!(span["parent.id"], "00f067aa0ba902b7", "{line}");
        assert!(span["worker"].is_string(), "{line}");
    }
    let dead = output
        .lines()
        .find(|line| line.contains("is a dead letter"));
    let dead: Value = serde_json::from_str(dead.unwrap()).unwrap();
    assert_eq!(dead["level"], "WARN");
    assert_eq!(dead["reason"], "not_json");
    assert_eq!(dead["trace.id"], TRACE, "also where spans are off");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_info_a_happy_event_is_silent_and_one_that_is_given_up_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    let applied = async |count| {
        wait_until("they are applied", PATIENCE, async || {
            books.count("payments").await == count
        })
        .await;
    };
    Event::payment("evt_first").send(&node.url).await;
    applied(1).await;
    let before = node.running.output().lines().count();
    for number in 0..50 {
        let event = Event::payment(&format!("evt_{number}"));
        assert_eq!(event.send(&node.url).await.status(), 200);
        assert_eq!(event.send(&node.url).await.status(), 200);
    }
    applied(51).await;
    Event::new("evt_poison", "garbage-7").send(&node.url).await;
    wait_until("it is filed", PATIENCE, async || {
        node.running.output().contains("archived 1 dead letters")
    })
    .await;
    let output = node.running.output();
    let new: Vec<_> = output.lines().skip(before).collect();
    assert_eq!(new.len(), 2, "{new:#?}");
    assert!(
        new[0].contains("evt_poison of default is a dead letter: "),
        "{new:?}"
    );
    assert!(!output.contains("garbage"), "a body is never written down");
}
