//! What a run finds where everything is as it should be.

use crate::harness::{Site, test};
use std::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_is_applied_refused_and_buried_as_it_should_be() {
    let site = Site::new().await;
    let report = site.folder.path().join("report.html");
    let tested = site
        .test(&[
            "--profile",
            "mix",
            "--rate",
            "300",
            "--duration",
            "2s",
            "--connections",
            "16",
            "--seed",
            "7",
            "--duplicates",
            "20%",
            "--bad-signatures",
            "5%",
            "--poison",
            "5%",
            "--metrics",
            &site.node.admin,
            "--json",
            "--report",
            report.to_str().unwrap(),
        ])
        .await;
    assert_eq!(tested.code, Some(0), "{}", tested.output);
    let outcome = tested.json();
    let requests = &outcome["requests"];
    let of = |name: &str| requests[name].as_u64().unwrap();
    assert_eq!(of("offered"), 600);
    assert_eq!(of("accepted") + of("repelled"), 600, "{requests}");
    // Drawn from the seed: the same in every run.
    assert!(of("copies") > 80 && of("repelled") > 10, "{requests}");
    let audit = &outcome["audit"];
    let found = |name: &str| audit[name].as_u64().unwrap();
    assert!(found("dead") > 10 && found("condemned") == 0, "{audit}");
    assert_eq!(
        found("applied") + found("dead"),
        of("events_accepted"),
        "{audit}"
    );
    assert_eq!(audit["crooked_orders"]["count"], 0, "{audit}");

    let applied = outcome["timeline"].as_array().unwrap().iter();
    let applied: f64 = applied
        .filter_map(|row| row["applied_per_second"].as_f64())
        .sum();
    assert!(applied > 0.0, "the admin page was read");
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.contains("<svg") && page.contains(">queue<"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_run_ends_with_its_count() {
    let site = Site::new().await;
    let tested = site
        .test(&[
            "--closed",
            "--count",
            "400",
            "--connections",
            "32",
            "--max-ack",
            "10s",
        ])
        .await;
    assert_eq!(tested.code, Some(0), "{}", tested.output);
    assert!(
        tested.output.starts_with("ok      ack max"),
        "{}",
        tested.output
    );
    assert!(
        tested.output.contains("400 requests, 400 events"),
        "{}",
        tested.output
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens_everything_is_unsent_and_the_run_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let tested = test(
        &url,
        folder.path(),
        &["--rate", "50", "--duration", "1s", "--json"],
    )
    .await;
    assert_eq!(tested.code, Some(1));
    let requests = tested.json()["requests"].clone();
    assert_eq!(
        (&requests["offered"], &requests["unsent"]),
        (&50.into(), &50.into())
    );
    assert!(
        requests["first_failure"]
            .as_str()
            .unwrap()
            .contains("Connection refused")
    );
}

/// A door that takes connections and requests and never says a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_does_not_answer_leaves_requests_unanswered_and_the_others_unsent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--rate",
        "100",
        "--duration",
        "1s",
        "--connections",
        "4",
        "--timeout",
        "600ms",
        "--json",
        "--max-ack",
        "500ms",
    ];
    let tested = test(&url, folder.path(), &arguments).await;
    assert_eq!(tested.code, Some(1));
    let outcome = tested.json();
    let requests = &outcome["requests"];
    let of = |name: &str| requests[name].as_u64().unwrap();
    assert_eq!(of("offered"), 100, "{requests}");
    assert_eq!(of("unanswered") + of("unsent"), 100, "{requests}");
    assert!(of("unanswered") >= 4 && of("unsent") >= 80, "{requests}");
    // No coordinated omission: what was never answered is not quick.
    assert!(
        outcome["ack_seconds"]["p50"].as_f64().unwrap() > 0.5,
        "{outcome}"
    );
}
