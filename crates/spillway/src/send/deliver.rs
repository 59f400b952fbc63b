//! Signs one event and sends it.

use envelope::EventId;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use signing::{SigningKey, schemes::spillway};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Ingest answers within a second; this is for a network that does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends to one URL with one key.
pub(super) struct Sender {
    client: reqwest::Client,
    url: String,
    key: SigningKey,
}

/// How one event was answered.
pub(super) struct Sent {
    pub(super) answer: Result<(StatusCode, String), String>,
    pub(super) took: Duration,
}

impl Sender {
    pub(super) fn new(url: &str, key: SigningKey) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
            key,
        })
    }

    pub(super) async fn send(&self, id: &EventId, body: Vec<u8>) -> Sent {
        let started = Instant::now();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
            .to_string();
        let signature = spillway::sign(&self.key, now.as_bytes(), &body);
        let request = self
            .client
            .post(&self.url)
            .header(spillway::EVENT_ID, id.as_str())
            .header(spillway::TIMESTAMP, now)
            .header(spillway::SIGNATURE, signature)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        Sent {
            answer: answer(request).await,
            took: started.elapsed(),
        }
    }
}

impl Sent {
    pub(super) fn was_accepted(&self) -> bool {
        matches!(self.answer, Ok((StatusCode::OK | StatusCode::ACCEPTED, _)))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(StatusCode, String), String> {
    let failed = |error: reqwest::Error| {
        if error.is_connect() {
            "nobody answers there: is spillway serve (or spillway-ingest) running?".to_owned()
        } else {
            error.to_string()
        }
    };
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    Ok((status, response.text().await.unwrap_or_default()))
}
