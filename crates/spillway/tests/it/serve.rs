//! The two commands a newcomer meets first.

use chaos::sender::{Event, SECRET};
use chaos::system::{serve, serve_with};
use std::path::Path;
use std::time::Duration;
use testkit::{Program, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

async fn fails_with(program: Program, sentence: &str) {
    let mut running = program.spawn().unwrap();
    let status = running.wait(PATIENCE).await.unwrap();
    let output = running.output();
    assert!(!status.success(), "{output}");
    assert!(output.contains(sentence), "{output}");
    assert_eq!(output.trim().lines().count(), 1, "one sentence: {output}");
}

fn serve_program(folder: &Path, port: u16, admin: u16) -> Program {
    Program::new("spillway")
        .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
        .args([
            "--admin-listen",
            &format!("127.0.0.1:{admin}"),
            "--data-dir",
        ])
        .arg(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_serve_from_starting_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (node, _books) = serve(folder.path()).await;
    let second = serve_program(folder.path(), free_port(), free_port());
    fails_with(second, "another spillway serve is running on the folder").await;

    let port: u16 = node.url.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let other = tempfile::tempdir().unwrap();
    fails_with(
        serve_program(other.path(), port, free_port()),
        "the port is in use by another program",
    )
    .await;

    // Even root cannot make a folder inside a file.
    let file = other.path().join("file");
    std::fs::write(&file, "").unwrap();
    let unwritable = serve_program(&file.join("folder"), free_port(), free_port());
    fails_with(unwritable, "cannot write to the folder").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pasted_command_of_the_banner_sends_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let (port, admin) = (free_port(), free_port());
    let mut running = serve_program(folder.path(), port, admin).spawn().unwrap();
    running
        .wait_for_line("Stop with Ctrl-C", PATIENCE)
        .await
        .unwrap();
    let banner = running.output();
    let start = banner.find("  BODY=").unwrap();
    let end = banner.find("Or, and watch it").unwrap();
    let pasted = std::process::Command::new("bash")
        .args(["-c", &banner[start..end]])
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&pasted.stdout).into_owned();
    assert!(
        answer.contains(r#"{"message":"Event received and queued","eventId":"evt_12345"}"#),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn send_says_what_became_of_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let (mut node, books) = serve(folder.path()).await;
    let url = node.url.clone();
    let send = |arguments: &[&str]| {
        Program::new("spillway")
            .args(["send", "--url", &url, "--data-dir"])
            .arg(folder.path())
            .args(arguments)
            .env("WEBHOOK_SECRET", SECRET)
    };
    let says = async |program: Program, success: bool| {
        let mut running = program.spawn().unwrap();
        let status = running.wait(PATIENCE).await.unwrap();
        assert_eq!(status.success(), success, "{}", running.output());
        running.output()
    };
    let payment = r#"{"orderId":"o","amount":1,"status":"s"}"#;
    let one = says(send(&["--event-id", "evt_send", "--data", payment]), true).await;
    assert!(one.starts_with("evt_send: applied once in "), "{one}");
    assert_eq!(
        books.payload("evt_send").await.unwrap(),
        br#"{"id":"evt_send","orderId":"o","amount":1,"status":"s"}"#
    );

    let many = says(send(&["--count", "100", "--data", payment]), true).await;
    assert!(
        many.contains("100 events: 100 accepted\n100 applied once, p50 "),
        "{many}"
    );
    assert_eq!(books.count("processed_webhooks").await, 101);

    let dead = says(
        send(&["--event-id", "evt_dead", "--data", "garbage"]),
        false,
    )
    .await;
    // What it says of all of them is on another pipe, and may be read first.
    let letter = "evt_dead: accepted, and dead in payments: not_json: ";
    let mut lines = dead.lines();
    assert!(lines.any(|line| line.starts_with(letter)), "{dead}");

    let wrong = send(&["--data", payment]).env("WEBHOOK_SECRET", "another secret than theirs");
    let refused = says(wrong, false).await;
    assert!(
        refused.contains("refused with 403 Forbidden: {"),
        "{refused}"
    );

    node.terminate().await;
    let nobody = says(send(&["--data", payment]), false).await;
    assert!(
        nobody.contains("not sent: nobody answers there"),
        "{nobody}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_are_served_side_by_side_and_counted_apart() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("spillway.toml");
    std::fs::write(&config, "[pipelines.payments]\n[pipelines.audit]\n").unwrap();
    let data = folder.path().join("data");
    let (node, books) = serve_with(&data, "SPILLWAY_CONFIG", config.to_str().unwrap()).await;
    assert_eq!(Event::payment("evt").send(&node.url).await.status(), 200);
    wait_until("both have applied it", PATIENCE, async || {
        books.count("processed_webhooks").await == 2
    })
    .await;
    for pipeline in ["payments", "audit"] {
        let applied =
            format!(r#"spillway_worker_events_total{{outcome="applied",pipeline="{pipeline}"}}"#);
        wait_until("it is counted", PATIENCE, async || {
            node.metric(&applied).await == 1.0
        })
        .await;
    }
}
