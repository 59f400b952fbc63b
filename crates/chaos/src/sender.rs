//! A provider: signs events, sends them, and keeps a list of how each was answered.

use reqwest::{RequestBuilder, Response, StatusCode};
use signing::schemes::spillway;
use signing::{Secret, SigningKey};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub const SECRET: &str = "a secret that only tests know";

/// One event, signed.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: Vec<u8>,
}

impl Event {
    pub fn new(id: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::at(&now().to_string(), id, body)
    }

    /// Signed with a timestamp of the sender's choice.
    pub fn at(timestamp: &str, id: &str, body: impl Into<Vec<u8>>) -> Self {
        let (body, key) = (body.into(), SigningKey::new(&Secret::new(SECRET).unwrap()));
        let signature = spillway::sign(&key, timestamp.as_bytes(), &body);
        Self {
            id: id.to_owned(),
            timestamp: timestamp.to_owned(),
            signature,
            body,
        }
    }

    /// A payment that carries its id.
    pub fn payment(id: &str) -> Self {
        Self::new(
            id,
            format!(r#"{{"id":"{id}","orderId":"order_{id}","amount":7,"status":"completed"}}"#),
        )
    }

    pub fn to(&self, url: &str) -> RequestBuilder {
        self.by(&client(), url)
    }

    /// The same by a client of the caller's.
    pub fn by(&self, client: &reqwest::Client, url: &str) -> RequestBuilder {
        client
            .post(url)
            .header("x-event-id", &self.id)
            .header("x-timestamp", &self.timestamp)
            .header("x-signature", &self.signature)
            .body(self.body.clone())
    }

    pub async fn send(&self, url: &str) -> Response {
        self.to(url).send().await.unwrap()
    }
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

pub fn client() -> reqwest::Client {
    static CLIENT: std::sync::OnceLock<reqwest::Client> = std::sync::OnceLock::new();
    let build = || {
        reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap()
    };
    // One client per runtime: its connections live on the runtime that made them.
    if std::env::var_os("NEXTEST").is_some() {
        CLIENT.get_or_init(build).clone()
    } else {
        build()
    }
}

/// What a provider knows of what it sent.
#[derive(Debug, Default)]
pub struct Answers {
    /// Answered 200 or 202: obligations.
    pub accepted: BTreeSet<String>,
    /// Those of them that were answered 202.
    pub spooled: BTreeSet<String>,
    /// Everything sent, answered or not.
    pub sent: BTreeSet<String>,
    /// Answered with something else than 200, 202 or 503.
    pub surprising: Vec<String>,
}

/// A stream of events from several senders, until it is stopped.
#[derive(Debug)]
pub struct Flow {
    answers: Arc<Mutex<Answers>>,
    stop: CancellationToken,
    senders: JoinSet<()>,
}

impl Flow {
    /// `senders` one after the other each, over these doors in turn.
    pub fn start(name: &str, urls: Vec<String>, senders: usize) -> Self {
        let (answers, stop) = (Arc::<Mutex<Answers>>::default(), CancellationToken::new());
        let number = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for sender in 0..senders {
            let (answers, stop, number) = (answers.clone(), stop.clone(), number.clone());
            let (url, name) = (urls[sender % urls.len()].clone(), name.to_owned());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    let id = format!("{name}_{}", number.fetch_add(1, Ordering::Relaxed));
                    answers.lock().unwrap().sent.insert(id.clone());
                    let answer = Event::payment(&id).to(&url).send().await;
                    answers
                        .lock()
                        .unwrap()
                        .note(id, answer.map(|response| response.status()));
                }
            });
        }
        Self {
            answers,
            stop,
            senders: tasks,
        }
    }

    pub fn accepted(&self) -> usize {
        self.answers.lock().unwrap().accepted.len()
    }

    /// Everything sent so far.
    pub fn sent(&self) -> BTreeSet<String> {
        self.answers.lock().unwrap().sent.clone()
    }

    /// Waits until this many more have been accepted.
    pub async fn go_on(&self, more: usize) {
        let target = self.accepted() + more;
        testkit::wait_until("events flow", Duration::from_secs(60), async || {
            self.accepted() >= target
        })
        .await;
    }

    pub async fn stop(mut self) -> Answers {
        self.stop.cancel();
        while self.senders.join_next().await.is_some() {}
        std::mem::take(&mut *self.answers.lock().unwrap())
    }
}

impl Answers {
    /// What another flow was told, as if it had been this one.
    pub fn extend(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.spooled.extend(other.spooled);
        self.sent.extend(other.sent);
        self.surprising.extend(other.surprising);
    }

    fn note(&mut self, id: String, answer: Result<StatusCode, reqwest::Error>) {
        match answer {
            Ok(StatusCode::OK) => drop(self.accepted.insert(id)),
            Ok(StatusCode::ACCEPTED) => {
                self.spooled.insert(id.clone());
                self.accepted.insert(id);
            }
            // Refused, or nobody there: the event may be stored or not.
            Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => {}
            Ok(other) => self.surprising.push(format!("{id}: {other}")),
        }
    }
}
