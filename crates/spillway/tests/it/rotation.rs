//! Secrets that are replaced under load, the way Kubernetes does it: a folder is swapped under everybody's feet.

use chaos::sender::client;
use chaos::system::Node;
use envelope::UnixSeconds;
use signing::{Scheme, SchemeName, Secret, ToSign};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::wait_until;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);
const FIRST: &str = "the first secret of this source.";
const SECOND: &str = "the second secret of this source";
const UNUSED: &str = "a secret that nobody signs with.";

/// `current` and `previous`, reached over `..data` as in a mounted Secret, and replaced at one stroke.
fn mount(folder: &Path, version: &str, current: &str, previous: &str) {
    let files = folder.join(version);
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("current"), format!("{current}\n")).unwrap();
    std::fs::write(files.join("previous"), format!("{previous}\n")).unwrap();
    let fresh = folder.join("..data_tmp");
    symlink(version, &fresh).unwrap();
    std::fs::rename(fresh, folder.join("..data")).unwrap();
}

fn scheme() -> Scheme {
    SchemeName::StandardWebhooks.scheme().unwrap()
}

/// Standard Webhooks' secrets are base64.
fn written(secret: &str) -> String {
    use std::fmt::Write;
    // Hexadecimal digits are base64 as well, four at a time: a secret has an even number of bytes.
    secret.bytes().fold("whsec_".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

async fn status(url: &str, id: &str, secret: &str) -> u16 {
    let key = scheme()
        .key(&Secret::new(&written(secret)).unwrap())
        .unwrap();
    let body = format!(r#"{{"id":"{id}","orderId":"o_{id}","amount":7,"status":"paid"}}"#);
    let to_sign = ToSign {
        id,
        timestamp: UnixSeconds(chaos::sender::now().cast_signed()),
        body: body.as_bytes(),
    };
    let request = client().post(url).body(body.clone());
    let request = scheme()
        .sign(Some(&key), &to_sign)
        .into_iter()
        .fold(request, |request, (name, value)| {
            request.header(name, value)
        });
    request.send().await.unwrap().status().as_u16()
}

/// A sender that never stops, and signs with whatever it is told to; how each of its events was answered.
fn flow(
    url: &str,
    secret: &Arc<Mutex<&'static str>>,
    stop: &CancellationToken,
) -> JoinHandle<Vec<u16>> {
    let (url, secret, stop) = (url.to_owned(), secret.clone(), stop.clone());
    tokio::spawn(async move {
        let mut answers = Vec::new();
        while !stop.is_cancelled() {
            let id = format!("flow_{}", answers.len());
            let secret = *secret.lock().unwrap();
            answers.push(status(&url, &id, secret).await);
        }
        answers
    })
}

async fn is_answered(url: &str, secret: &str, expected: u16) {
    let tries = AtomicUsize::new(0);
    wait_until("the new secrets are in use", PATIENCE, async || {
        let number = tries.fetch_add(1, Ordering::Relaxed);
        let id = format!("probe_{}_{expected}_{number}", secret.len());
        status(url, &id, secret).await == expected
    })
    .await;
}

async fn last_verified(node: &Node, folder: &Path, name: &str) -> f64 {
    let reference = format!("file:{}", folder.join(name).display());
    let metric = format!(
        "spillway_ingest_secret_last_verified_timestamp_seconds{{secret=\"{reference}\",source=\"rotated\"}}"
    );
    node.metric(&metric).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_under_load_without_a_restart_and_without_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    mount(&secrets, "v1", &written(FIRST), &written(UNUSED));
    for name in ["current", "previous"] {
        symlink(format!("..data/{name}"), secrets.join(name)).unwrap();
    }
    let config = folder.path().join("spillway.toml");
    let at = secrets.display();
    let text = format!(
        "[secrets]\nreread_every = \"100ms\"\n[sources.rotated]\nscheme = \"standard-webhooks\"\n\
         secrets = [\"file:{at}/current\", \"file:{at}/previous\"]\n"
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let data = folder.path().join("data");
    let (node, _books) = chaos::system::serve_with(&data, "SPILLWAY_CONFIG", config).await;
    let url = format!("{}s/rotated", node.url);

    let (signs_with, stop) = (Arc::new(Mutex::new(FIRST)), CancellationToken::new());
    let flows: Vec<_> = (0..2).map(|_| flow(&url, &signs_with, &stop)).collect();
    is_answered(&url, FIRST, 200).await;
    assert_eq!(status(&url, "too_early", SECOND).await, 403);
    assert!(last_verified(&node, &secrets, "current").await > 0.0);
    assert_eq!(last_verified(&node, &secrets, "previous").await, 0.0);

    // We know both before the sender changes, as an operator would do it.
    mount(&secrets, "v2", &written(SECOND), &written(FIRST));
    is_answered(&url, SECOND, 200).await;
    *signs_with.lock().unwrap() = SECOND;
    wait_until("the old one is seen as in use", PATIENCE, async || {
        last_verified(&node, &secrets, "previous").await > 0.0
    })
    .await;
    is_answered(&url, SECOND, 200).await;

    // A file that is no secret leaves the one before it in use.
    std::fs::write(secrets.join("v2/current"), "short").unwrap();
    let patience = Duration::from_secs(30);
    wait_until("the operator is told", patience, async || {
        node.running
            .output()
            .contains("goes on with the old secret")
    })
    .await;
    assert_eq!(status(&url, "still", SECOND).await, 200);

    mount(&secrets, "v3", &written(SECOND), &written(UNUSED));
    is_answered(&url, FIRST, 403).await;
    stop.cancel();
    for flow in flows {
        let answers = flow.await.unwrap();
        assert!(answers.iter().all(|answer| *answer == 200), "{answers:?}");
        assert!(!answers.is_empty());
    }
    for secret in [FIRST, SECOND, UNUSED, "short"] {
        let output = node.running.output();
        assert!(!output.contains(&written(secret)) && !output.contains(secret));
    }
}
