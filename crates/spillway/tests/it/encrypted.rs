//! Secrets that lie encrypted with age: what opens them is in the environment of the program, and nowhere else.

use chaos::sender::client;
use chaos::system::Node;
use envelope::UnixSeconds;
use ops::config::{AGE_IDENTITY, AGE_IDENTITY_FILE, encrypt};
use signing::{SchemeName, Secret, SigningKey, ToSign};
use std::path::Path;
use std::time::Duration;
use testkit::{Program, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
const FIRST: &str = "the first secret that lies encrypted";
const SECOND: &str = "the second secret that lies encrypted";
const PASSWORD: &str = "PasswordInAnEncryptedUrl";

/// Made for these tests, as all identities here; they open nothing else.
const OURS: &str = "AGE-SECRET-KEY-10J6WPCK7N4XHD9MDUVPZRP756X9M74UJW8S44YHDN69H6VRFSQ9QQ6UL98";
const OUR_RECIPIENT: &str = "age1dyxcvmvuj6lt0efqpkjwn3f8g4xcn4eu607p6hlvy25cvl2pmfls2nxjrx";
const THEIRS: &str = "AGE-SECRET-KEY-15QG2WTUN50HTNLNURPTTWX4S56N4EULNGWMSPTDM52YTT9CNDUXSDQKZ2D";
const THEIR_RECIPIENT: &str = "age10pu62dz8wu8xqcfa00c3ugyr0vxxlrdtdh7nqkwcxj5kwwevjprsmmyzyx";

/// By a rename, as a file that is read all the time is replaced.
fn write(file: &Path, recipient: &str, text: &str) {
    let fresh = file.with_extension("fresh");
    let encrypted = encrypt(&[recipient.parse().unwrap()], text).unwrap();
    std::fs::write(&fresh, encrypted).unwrap();
    std::fs::rename(fresh, file).unwrap();
}

/// Whether it ended well, and what it wrote.
async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let program = Program::new("spillway")
        .args(arguments)
        .env("RUST_LOG", "debug");
    let told = |program: Program, (name, value): &(&str, &str)| program.env(name, value);
    let mut running = variables.iter().fold(program, told).spawn().unwrap();
    let status = running.wait(Duration::from_secs(60)).await.unwrap();
    let output = running.complete_output().await;
    for hidden in [FIRST, SECOND, PASSWORD, OURS, THEIRS] {
        assert!(!output.contains(hidden), "{arguments:?}: {output}");
    }
    (status.success(), output)
}

async fn status(url: &str, id: &str, secret: &str) -> u16 {
    let scheme = SchemeName::Spillway.scheme().unwrap();
    let key: SigningKey = scheme.key(&Secret::new(secret).unwrap()).unwrap();
    let body = format!(r#"{{"id":"{id}","orderId":"o_{id}","amount":7,"status":"paid"}}"#);
    let to_sign = ToSign {
        id,
        timestamp: UnixSeconds(chaos::sender::now().cast_signed()),
        body: body.as_bytes(),
    };
    let headers = scheme.sign(Some(&key), &to_sign);
    let request = client().post(url).body(body.clone());
    let request = headers.into_iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    request.send().await.unwrap().status().as_u16()
}

fn configured(folder: &Path, more: &str) -> String {
    let config = folder.join("spillway.toml");
    let text = format!(
        "[secrets]\nreread_every = \"100ms\"\n{more}[sources.sealed]\nsecrets = [\"age:{}\"]\n",
        folder.join("secret.age").display()
    );
    std::fs::write(&config, text).unwrap();
    config.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_secret_is_read_again_and_one_for_others_leaves_the_old_one_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let (file, identity) = (
        folder.path().join("secret.age"),
        folder.path().join("identity"),
    );
    write(&file, OUR_RECIPIENT, FIRST);
    std::fs::write(&identity, format!("# a comment\n{OURS}\n")).unwrap();
    let config = configured(folder.path(), "");
    let program = Program::new("spillway")
        .args(["serve", "--config", &config, "--data-dir"])
        .arg(folder.path().join("data"))
        .env("RUST_LOG", "debug")
        .env(AGE_IDENTITY_FILE, &identity);
    let mut node = Node::door(program).await;
    let url = format!("{}s/sealed", node.url);
    assert_eq!(status(&url, "first", FIRST).await, 200);
    assert_eq!(status(&url, "early", SECOND).await, 403);

    write(&file, OUR_RECIPIENT, SECOND);
    wait_until("the new secret is in use", PATIENCE, async || {
        status(&url, "second", SECOND).await == 200
    })
    .await;
    assert_eq!(status(&url, "late", FIRST).await, 403);

    write(&file, THEIR_RECIPIENT, FIRST);
    wait_until("the operator is told", PATIENCE, async || {
        let output = node.running.output();
        output.contains("goes on with the old secret") && output.contains("encrypted for others")
    })
    .await;
    assert_eq!(status(&url, "still", SECOND).await, 200);

    let metrics = node.metrics().await;
    let reference = format!("secret=\"age:{}\"", file.display());
    assert!(metrics.contains(&reference), "{metrics}");
    node.terminate().await;
    let log = node.running.complete_output().await;
    for hidden in [FIRST, SECOND, OURS] {
        assert!(!log.contains(hidden) && !metrics.contains(hidden), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_an_encrypted_secret_will_do_is_told_with_its_reason_and_never_with_a_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("secret.age"), OUR_RECIPIENT, FIRST);
    let url = folder.path().join("url.age");
    let amqp = format!("amqp://spillway:{PASSWORD}@127.0.0.1:9/%2f\n");
    write(&url, OUR_RECIPIENT, &amqp);
    let broker = format!("[broker]\nurl = \"age:{}\"\n", url.display());
    let config = configured(folder.path(), &broker);
    let check = ["secret", "check", "--config", &config];

    let (is_good, output) = run(&check, &[(AGE_IDENTITY, OURS)]).await;
    assert!(is_good && output.contains("secret.age: good"), "{output}");
    let (is_good, printed) = run(
        &["config", "print", "--config", &config],
        &[(AGE_IDENTITY, OURS)],
    )
    .await;
    assert!(is_good && printed.contains("url = \"age:"), "{printed}");
    assert!(printed.contains("secrets = [\"age:"), "{printed}");
    for (variables, why) in [
        (&[][..], "there is no identity"),
        (&[(AGE_IDENTITY, THEIRS)], "encrypted for others"),
        (&[(AGE_IDENTITY, FIRST)], "line 1 of SPILLWAY_AGE_IDENTITY"),
        (&[(AGE_IDENTITY_FILE, "/not/there")], "/not/there"),
    ] {
        let (is_good, output) = run(&check, variables).await;
        let told = output.contains("broker.url: age:") && output.contains(why);
        assert!(!is_good && told, "{why}: {output}");
        // Without the URL it is the secret's turn.
        let without = tempfile::tempdir().unwrap();
        let sealed = folder.path().join("secret.age");
        std::fs::copy(sealed, without.path().join("secret.age")).unwrap();
        let config = configured(without.path(), "");
        let check = ["secret", "check", "--config", &config];
        let (is_good, output) = run(&check, variables).await;
        let told = output.contains("secret.age: ") && output.contains(why);
        assert!(!is_good && told, "{why}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_secret_never_lies_anywhere_unencrypted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret.age");
    let path = file.to_str().unwrap();
    let recipients = [
        "--age-recipient",
        OUR_RECIPIENT,
        "--age-recipient",
        THEIR_RECIPIENT,
    ];
    let generate = ["secret", "generate", "--out", path];
    let (is_good, output) = run(&[&generate[..], &recipients].concat(), &[]).await;
    assert!(
        is_good && output.contains(&format!("age:{path}")),
        "{output}"
    );
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(
        written.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"),
        "{written}"
    );
    let config = configured(folder.path(), "");
    for identity in [OURS, THEIRS] {
        let check = ["secret", "check", "--config", &config];
        let (is_good, output) = run(&check, &[(AGE_IDENTITY, identity)]).await;
        assert!(is_good && output.contains("good"), "{output}");
    }
    let (is_good, output) = run(&[&generate[..], &recipients].concat(), &[]).await;
    assert!(!is_good && output.contains("cannot write"), "{output}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    let (is_good, output) = run(&["secret", "generate", "--age-recipient", OURS], &[]).await;
    assert!(
        !is_good && output.contains("is no recipient of age"),
        "{output}"
    );
}
