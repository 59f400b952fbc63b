//! (I9) Whatever is asked and whatever goes wrong, no secret and no part of a body is in anything we write.

use chaos::sender::{Event, SECRET, client, now};
use chaos::system::{Corner, Node, serve_with};
use std::time::Duration;
use testkit::{Program, wait_until};

/// In every body; in no id and no order, which are names and may be seen.
const FRAGMENT: &str = "FragmentOfABody";
const FILE_SECRET: &str = "a secret that lies in a file";
const PASSWORD: &str = "PasswordOfTheBroker";

/// What a stranger could read.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn add(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.0.push((what.into(), text.into()));
    }

    fn holds_nothing_of(&self, hidden: &[&str]) {
        assert!(!self.0.is_empty());
        for (what, text) in &self.0 {
            for word in hidden {
                assert!(!text.contains(word), "{what} has {word:?} in it:\n{text}");
            }
        }
    }
}

async fn run(folder: &std::path::Path, arguments: &[&str]) -> String {
    let program = Program::new("spillway")
        .args(arguments)
        .env("SPILLWAY_CONFIG", folder.join("spillway.toml"))
        .env("WEBHOOK_SECRET", SECRET)
        .env("RUST_LOG", "debug");
    let mut running = program.spawn().unwrap();
    // Whatever it says of itself, it is what it writes that counts.
    drop(running.wait(Duration::from_secs(60)).await);
    running.complete_output().await
}

/// Every answer a sender can get, and every ending an event can meet.
async fn provoke(node: &Node, seen: &mut Seen) {
    let body = |id: &str| {
        format!(r#"{{"id":"{id}","orderId":"o","amount":7,"status":"paid","note":"{FRAGMENT}"}}"#)
    };
    let poison = format!(r#"{{"{FRAGMENT}":"#);
    let forged = Event {
        body: format!("{{\"{FRAGMENT}\":1}}").into_bytes(),
        ..Event::new("evt_forged", body("evt_forged"))
    };
    let late = (now() - 1000).to_string();
    let events = [
        Event::new("evt_good", body("evt_good")),
        Event::new("evt_good", body("evt_good")),
        Event::new("evt_good", body("evt_good").replace('7', "8")),
        Event::new("evt_poison", poison),
        Event::new(
            "evt_wrong",
            format!(r#"{{"orderId":"{FRAGMENT}","amount":"{FRAGMENT}"}}"#),
        ),
        Event::new("evt_huge", FRAGMENT.repeat(100_000)),
        Event::at(&late, "evt_late", body("evt_late")),
        Event::at(FRAGMENT, "evt_when", body("evt_when")),
        Event::new(&"i".repeat(300), body("x")),
        forged,
    ];
    for event in events {
        let answer = event.send(&node.url).await;
        let headers = format!("{:?}", answer.headers());
        seen.add("an answer's headers", headers);
        seen.add("an answer", answer.text().await.unwrap());
    }
    let secret_as_signature = client()
        .post(&node.url)
        .header("x-event-id", "evt_pasted")
        .header("x-timestamp", now().to_string())
        .header("x-signature", SECRET)
        .body(FRAGMENT);
    let answer = secret_as_signature.send().await.unwrap();
    seen.add(
        "the answer to a pasted secret",
        answer.text().await.unwrap(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_part_of_a_body_is_in_anything_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, FILE_SECRET).unwrap();
    let data = folder.path().join("data");
    let text = format!(
        "[broker]\nurl = \"embedded:{data}/broker.db\"\n[ledger]\nurl = \"sqlite:{data}/ledger.db\"\n\
         [sources.other]\nsecrets = [\"file:{}\"]\n",
        file.display(),
        data = data.display()
    );
    let config = folder.path().join("spillway.toml");
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let (mut node, books) = serve_with(&data, "SPILLWAY_CONFIG", config).await;
    let mut seen = Seen::default();
    provoke(&node, &mut seen).await;
    let patience = Duration::from_secs(30);
    wait_until("every event has met its ending", patience, async || {
        books.payments().await.len() == 1 && books.dead().await.len() == 3
    })
    .await;
    seen.add("the metrics", node.metrics().await);
    let commands = std::fs::read_to_string(format!("/proc/{}/cmdline", node.running.pid()));
    seen.add("the arguments", commands.unwrap());
    // `dlq show` and `export` are for reading a letter's body, and are not here.
    let commands: [&[&str]; 12] = [
        &["--help"],
        &["serve", "--help"],
        &["send", "--help"],
        &["config", "print"],
        &["secret", "check"],
        &["dlq", "list"],
        &["doctor"],
        &["doctor", "--duplicates"],
        &["reconcile"],
        &["send", "--secret", SECRET],
        &["send", "--secret", "file:/nowhere"],
        &["send", "--event-id", "evt_sent"],
    ];
    for arguments in commands {
        let output = run(folder.path(), arguments).await;
        // What the operator typed is shown to the operator alone, and not by us.
        seen.add(arguments.join(" "), output);
    }
    node.terminate().await;
    seen.add("the log", node.running.complete_output().await);
    seen.holds_nothing_of(&[SECRET, FILE_SECRET, FRAGMENT]);
    // The test itself would see one: names are there.
    let all: String = seen.0.iter().map(|(_, text)| text.as_str()).collect();
    assert!(all.contains("evt_poison") && all.contains("file:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_a_server_is_in_no_output() {
    let corner = Corner::new().await;
    let url = corner
        .servers
        .broker
        .replacen("guest:guest@", &format!("guest:{PASSWORD}@"), 1);
    let mut seen = Seen::default();
    for (name, arguments) in [
        ("spillway-ingest", &["--check"][..]),
        ("spillway-worker", &["--check"]),
        ("spillway", &["config", "print"]),
        ("spillway", &["doctor"]),
        ("spillway", &["dlq", "list"]),
    ] {
        let ledger = "postgres://postgres:PasswordOfTheBroker@127.0.0.1:9/none";
        let program = Program::new(name)
            .args(arguments)
            .env("WEBHOOK_SECRET", SECRET)
            .env("SPILLWAY_BROKER_URL", &url)
            .env(
                "SPILLWAY_RECALL_URL",
                "redis://:PasswordOfTheBroker@127.0.0.1:9",
            )
            .env("SPILLWAY_LEDGER_URL", ledger);
        let mut running = program.spawn().unwrap();
        drop(running.wait(Duration::from_secs(20)).await);
        drop(running.kill());
        seen.add(name, running.complete_output().await);
    }
    seen.holds_nothing_of(&[PASSWORD, SECRET]);
}
