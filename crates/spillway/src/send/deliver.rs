//! Signs one event and sends it.

use envelope::{EventId, UnixSeconds};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use signing::{Scheme, SigningKey, ToSign};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Ingest answers within a second; this is for a network that does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends to one URL as one source.
pub(super) struct Sender {
    client: reqwest::Client,
    url: String,
    scheme: Scheme,
    /// Nothing where the scheme signs nothing.
    key: Option<SigningKey>,
}

/// How one event was answered.
pub(super) struct Sent {
    pub(super) answer: Result<(StatusCode, String), String>,
    pub(super) took: Duration,
}

impl Sender {
    pub(super) fn new(url: &str, scheme: Scheme, key: Option<SigningKey>) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
            scheme,
            key,
        })
    }

    pub(super) async fn send(&self, id: &EventId, body: Vec<u8>) -> Sent {
        let started = Instant::now();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let to_sign = ToSign {
            id: id.as_str(),
            timestamp: UnixSeconds(now.cast_signed()),
            body: &body,
        };
        let mut request = self.client.post(&self.url);
        for (name, value) in self.scheme.sign(self.key.as_ref(), &to_sign) {
            request = request.header(name, value);
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
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
