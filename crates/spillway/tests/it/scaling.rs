//! The desired number of workers follows the queue, whoever runs them.

use chaos::sender::Event;
use chaos::system::{Corner, Node};
use serde_json::Value;
use std::time::Duration;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// The policy, a hundred times smaller and quicker.
const SMALL: [(&str, &str); 5] = [
    ("SPILLWAY_SCALING_UP_ABOVE", "10"),
    ("SPILLWAY_SCALING_DOWN_BELOW", "1"),
    ("SPILLWAY_SCALING_MAX", "4"),
    ("SPILLWAY_SCALING_COOL_DOWN", "500ms"),
    ("SPILLWAY_SCALING_CALM", "2s"),
];

pub async fn page(control: &Node) -> Value {
    let page = control.page("/scaling/payments").await;
    serde_json::from_str(&page).unwrap_or_else(|_| panic!("{page}"))
}

pub async fn wait_for(control: &Node, field: &str, value: impl Into<Value>) {
    let value = value.into();
    wait_until(&format!("{field} is {value}"), PATIENCE, async || {
        page(control).await[field] == value
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desired_number_follows_the_queue_and_outlives_the_control_server() {
    let corner = Corner::new().await;
    let ingest = corner.servers.ingest().await;
    let mut control = corner.servers.control_with(&SMALL).await;
    wait_for(&control, "desired_workers", 1).await;
    for number in 0..35 {
        let event = Event::payment(&format!("evt_{number}"));
        assert_eq!(event.send(&ingest.url).await.status(), 200);
    }
    wait_for(&control, "desired_workers", 4).await;
    wait_for(&control, "ready", 35).await;
    let metric = r#"spillway_desired_workers{pipeline="payments"}"#;
    assert_eq!(control.metric(metric).await, 4.0);
    // In the second in which the number has changed, nothing holds it.
    wait_for(&control, "held", "at_max").await;
    assert_eq!(page(&control).await["workers"], 0);

    control.kill_and_restart().await;
    // Two do no harm, and agree.
    let other = corner.servers.control_with(&SMALL).await;
    for control in [&control, &other] {
        wait_until("the last number is known", PATIENCE, async || {
            page(control).await["desired_workers"].is_u64()
        })
        .await;
        assert_eq!(page(control).await["desired_workers"], 4);
    }
    let _worker = corner.servers.worker().await;
    wait_for(&control, "backlog", 0).await;
    wait_for(&control, "workers", 1).await;
    for control in [&control, &other] {
        wait_for(control, "desired_workers", 1).await;
    }
    let age = r#"spillway_queue_oldest_age_seconds{pipeline="payments"}"#;
    assert_eq!(control.metric(age).await, 0.0);
    let unknown = control.page("/scaling/refunds").await;
    assert!(unknown.contains("no such pipeline"), "{unknown}");
}
