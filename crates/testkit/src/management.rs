//! RabbitMQ's management API: it makes a vhost in milliseconds, where `rabbitmqctl` needs a
//! whole Erlang machine for it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Generous for a busy broker, short enough that a frozen one does not hold up a test's end.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The management API at a base URL such as `http://guest:guest@127.0.0.1:15672`.
#[derive(Debug, Clone)]
pub struct Management {
    base: String,
}

impl Management {
    pub(crate) fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// The base URL, with user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// What the API says at `path`, for example `queues/<vhost>/<queue>`.
    ///
    /// # Errors
    /// When the API does not answer, or not with a success.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.ask(Method::GET, path, None).await?;
        serde_json::from_slice(&answer).context("the management API did not answer in JSON")
    }

    /// Creates or changes what is at `path`.
    ///
    /// # Errors
    /// When the API does not answer, or not with a success.
    pub async fn put(&self, path: &str, body: &Value) -> Result<()> {
        self.ask(Method::PUT, path, Some(body)).await.map(drop)
    }

    /// Asks the API to act on what is at `path`, and hands back its answer.
    ///
    /// # Errors
    /// When the API does not answer, or not with a success.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.ask(Method::POST, path, Some(body)).await?;
        serde_json::from_slice(&answer).context("the management API did not answer in JSON")
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// When the API does not answer, or not with a success.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.ask(Method::DELETE, path, None).await.map(drop)
    }

    pub(crate) async fn create_vhost(&self, vhost: &str, user: &str) -> Result<()> {
        self.put(&format!("vhosts/{vhost}"), &json!({})).await?;
        let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        self.put(&format!("permissions/{vhost}/{user}"), &everything)
            .await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>> {
        let url = format!("{}/api/{path}", self.base);
        // A client per question: a pooled connection would die with the runtime of the test
        // that opened it, and fail the next test that is handed it.
        let mut request = Client::new()
            .request(method.clone(), &url)
            .timeout(ANSWER_DEADLINE);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("{method} {path}: no answer"))?;
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .with_context(|| format!("{method} {path}: cut off"))?;
        if !status.is_success() {
            bail!(
                "{method} {path}: {status} {}",
                String::from_utf8_lossy(&body)
            );
        }
        Ok(body.to_vec())
    }
}
