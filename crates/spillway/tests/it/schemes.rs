//! Every scheme at the door: what its provider signs is let in, and applied once.

use chaos::system::serve_with;
use envelope::UnixSeconds;
use signing::schemes::hmac::Settings;
use signing::{Encoding, Scheme, SchemeName, Secret, ToSign};
use std::time::Duration;
use testkit::wait_until;

const SCHEMES: [&str; 9] = [
    "spillway",
    "standard-webhooks",
    "svix",
    "stripe",
    "github",
    "shopify",
    "slack",
    "hmac",
    "none",
];

fn secret(scheme: &str) -> String {
    // 24 bytes of base64, each its own: two sources may not share one.
    let number = SCHEMES.iter().position(|name| *name == scheme).unwrap();
    format!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS{number}")
}

fn source(folder: &std::path::Path, scheme: &str) -> String {
    let file = folder.join(scheme);
    std::fs::write(&file, secret(scheme)).unwrap();
    let more = match scheme {
        "none" => "insecure = true".to_owned(),
        "hmac" => format!(
            "secrets = [\"file:{}\"]\nhmac = {{ signature_header = \"X-Sig\", prefix = \"v1:\", id_header = \"X-Id\" }}",
            file.display()
        ),
        _ => format!("secrets = [\"file:{}\"]", file.display()),
    };
    format!("[sources.{scheme}]\nscheme = \"{scheme}\"\n{more}\n")
}

fn scheme_of(name: &str) -> Scheme {
    let described = || {
        let settings = Settings {
            signature_header: "x-sig".to_owned(),
            encoding: Encoding::Hex,
            prefix: "v1:".to_owned(),
            signed: "{body}".to_owned(),
            id_header: Some("x-id".to_owned()),
            id_field: None,
            timestamp_header: None,
            tolerance: Duration::from_secs(300),
            secret_encoding: None,
        };
        settings.scheme().unwrap()
    };
    let name: SchemeName = name.parse().unwrap();
    name.scheme().unwrap_or_else(described)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_provider_signs_is_let_in_and_applied_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("spillway.toml");
    let text: String = SCHEMES
        .iter()
        .map(|scheme| source(folder.path(), scheme))
        .collect();
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let (node, books) = serve_with(&folder.path().join("data"), "SPILLWAY_CONFIG", config).await;
    let client = reqwest::Client::new();
    for name in SCHEMES {
        let scheme = scheme_of(name);
        let key = scheme.key(&Secret::new(&secret(name)).unwrap()).unwrap();
        let id = format!("evt_{name}");
        let url = format!("{}s/{name}", node.url);
        // Slack's id is in another field.
        let body = format!(
            r#"{{"id":"{id}","event_id":"{id}","orderId":"o_{name}","amount":7,"status":"paid"}}"#
        );
        let now = UnixSeconds(chaos::sender::now().cast_signed());
        let to_sign = ToSign {
            id: &id,
            timestamp: now,
            body: body.as_bytes(),
        };
        let headers = scheme.sign(Some(&key), &to_sign);
        let request = |body: &str| {
            let request = client.post(&url).body(body.to_owned());
            headers.iter().fold(request, |request, (name, value)| {
                request.header(*name, value.as_str())
            })
        };
        for _ in 0..2 {
            let answer = request(&body).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{name}");
            let answer: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(answer["eventId"], id.as_str(), "{name}");
        }
        let changed = request(&body.replace('7', "8")).send().await.unwrap();
        let expected = if scheme.is_signed() { 403 } else { 200 };
        assert_eq!(changed.status(), expected, "{name}");
    }
    let patience = Duration::from_secs(30);
    wait_until("each is applied once", patience, async || {
        let applied = books.payments().await;
        applied.len() == SCHEMES.len() && applied.values().all(|times| *times == 1)
    })
    .await;
    // The one that nobody signed and somebody changed is evidence, not a payment.
    wait_until("the change is kept", patience, async || {
        let dead = books.dead().await;
        dead.len() == 1 && dead.values().all(|reason| reason == "conflicting_body")
    })
    .await;
}
