//! A fleet on one machine: real worker processes that follow the queue.

use crate::scaling::{page, wait_for};
use chaos::sender::{Flow, client};
use chaos::system::{Corner, audit};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// The policy, smaller and quicker, and workers that need six seconds for what is sent.
const SMALL: [(&str, &str); 5] = [
    ("SPILLWAY_SCALING_UP_ABOVE", "20"),
    ("SPILLWAY_SCALING_DOWN_BELOW", "2"),
    ("SPILLWAY_SCALING_COOL_DOWN", "1s"),
    ("SPILLWAY_SCALING_CALM", "2s"),
    ("SPILLWAY_WORKER_MAX_RATE", "100"),
];

/// The workers' admin ports, as Prometheus reads them.
fn targets(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let groups: Value = serde_json::from_str(&text).unwrap();
    let groups = groups.as_array().unwrap().iter();
    let workers = groups.filter(|group| group["labels"]["job"] == "spillway-worker");
    let targets = workers.flat_map(|group| group["targets"].as_array().unwrap());
    targets
        .map(|target| target.as_str().unwrap().to_owned())
        .collect()
}

async fn is_there(target: &str) -> bool {
    let page = client().get(format!("http://{target}/healthz")).send();
    page.await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_grows_with_a_spike_and_shrinks_after_it_and_loses_nothing() {
    let (corner, folder) = (Corner::new().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("fleet.json");
    let ingest = corner.servers.ingest().await;
    let mut fleet = corner.servers.fleet(&file, 3, &SMALL).await;
    wait_for(&fleet, "workers", 1).await;
    let flow = Flow::start("spike", vec![ingest.url.clone()], 8);
    flow.go_on(600).await;
    let answers = flow.stop().await;
    wait_for(&fleet, "workers", 3).await;
    assert_eq!(targets(&file).len(), 3);
    for target in targets(&file) {
        wait_until("it can be asked", PATIENCE, async || {
            is_there(&target).await
        })
        .await;
    }
    wait_for(&fleet, "backlog", 0).await;
    wait_for(&fleet, "workers", 1).await;
    assert_eq!(page(&fleet).await["desired_workers"], 1);
    assert_eq!(targets(&file).len(), 1);
    audit(&corner.servers.books(), &answers).await;
    let left = targets(&file);
    fleet.terminate().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[]\n");
    assert!(!is_there(&left[0]).await, "a worker outlived its fleet");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_are_replaced_and_those_of_a_killed_fleet_end() {
    let (corner, folder) = (Corner::new().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("fleet.json");
    let mut fleet = corner.servers.fleet(&file, 3, &SMALL).await;
    let first = fleet
        .running
        .wait_for_line("started, at http://", PATIENCE)
        .await
        .unwrap();
    wait_for(&fleet, "workers", 1).await;
    let words: Vec<&str> = first.split_whitespace().collect();
    let pid = words.windows(2).find(|pair| pair[0] == "worker").unwrap()[1];
    kill(pid);
    fleet
        .running
        .wait_for_line(&format!("worker {pid} ended by itself"), PATIENCE)
        .await
        .unwrap();
    wait_until("another one is at work", PATIENCE, async || {
        let found = targets(&file);
        found.len() == 1 && !first.contains(&found[0]) && is_there(&found[0]).await
    })
    .await;
    let left = targets(&file);
    // The fleet alone, and nobody else of its group.
    kill(&fleet.running.pid().to_string());
    wait_until("its worker ends", PATIENCE, async || {
        !is_there(&left[0]).await
    })
    .await;
}

fn kill(pid: &str) {
    let killed = Command::new("kill").args(["-KILL", pid]).status().unwrap();
    assert!(killed.success());
}
