//! What is said to Redis, and what its answers mean.

use super::bypass::Bypass;
use super::link::Link;
use super::{Answer, Claimed, Claims};
use crate::{RecallUrl, StartError};
use envelope::Key;
use redis::{FromRedisValue, Pipeline};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// What a hint may cost a batch, connecting included. A batch without Redis takes about as long.
const BUDGET: Duration = Duration::from_millis(50);

/// How long a claim stands: longer than any batch takes, and short enough that the events of a worker
/// that died are not parked for long.
const LEASE_MILLIS: u64 = 10_000;

/// How long "applied" is remembered: a storm of duplicates is over by then. The database remembers longer.
const REMEMBERED_SECONDS: u64 = 900;

/// Stands in a key instead of a worker's name once the event has been applied.
const DONE: &str = "done";

/// Deletes what still holds our name: a lease that ran out may be somebody else's by now.
const RELEASE: &str = "\
    for _, key in ipairs(KEYS) do \
        if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end \
    end";

pub(super) struct Redis {
    link: Link,
    bypass: Mutex<Bypass>,
    bypassed: AtomicU64,
}

impl Redis {
    pub(super) fn new(url: &RecallUrl) -> Result<Self, StartError> {
        // The library's own message is left out: it may quote the URL (I9).
        let client = redis::Client::open(url.with_password())
            .map_err(|_| StartError::RecallUrl("redis:…".into()))?;
        Ok(Self {
            link: Link::new(client),
            bypass: Mutex::default(),
            bypassed: AtomicU64::new(0),
        })
    }

    async fn ask_to_claim(&self, worker: &str, keys: &[Key]) -> Vec<Claimed> {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            let set = pipeline.cmd("SET").arg(named(key)).arg(worker);
            set.arg("NX").arg("GET").arg("PX").arg(LEASE_MILLIS);
        }
        match self.ask::<Vec<Option<String>>>(keys, &pipeline).await {
            Some(holders) => holders.into_iter().map(|it| claimed(worker, it)).collect(),
            None => {
                self.bypassed
                    .fetch_add(keys.len() as u64, Ordering::Relaxed);
                vec![Claimed::Unknown; keys.len()]
            }
        }
    }

    async fn ask_to_remember(&self, keys: &[Key]) {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            let set = pipeline.cmd("SET").arg(named(key)).arg(DONE);
            set.arg("EX").arg(REMEMBERED_SECONDS).ignore();
        }
        self.ask::<()>(keys, &pipeline).await;
    }

    async fn ask_to_release(&self, worker: &str, keys: &[Key]) {
        let mut pipeline = Pipeline::with_capacity(1);
        let script = pipeline.cmd("EVAL").arg(RELEASE).arg(keys.len());
        script.arg(keys.iter().map(named).collect::<Vec<_>>());
        script.arg(worker).ignore();
        self.ask::<()>(keys, &pipeline).await;
    }

    /// The answers, or nothing where Redis is bypassed, late or in trouble.
    async fn ask<T: FromRedisValue + Default>(
        &self,
        about: &[Key],
        pipeline: &Pipeline,
    ) -> Option<T> {
        if about.is_empty() {
            return Some(T::default());
        }
        if !self.bypass().admits(Instant::now()) {
            return None;
        }
        let why = match tokio::time::timeout(BUDGET, self.link.ask(pipeline)).await {
            Ok(Ok(answers)) => {
                self.answered();
                return Some(answers);
            }
            // Category and code only: the detail may quote what was sent.
            Ok(Err(error)) => {
                self.link.cut();
                error.category().to_owned()
            }
            Err(_) => format!("no answer within {BUDGET:?}"),
        };
        self.gave_none(&why);
        None
    }

    fn answered(&self) {
        if self.bypass().succeeded() {
            info!("redis answers again: claims are back");
        }
    }

    /// A run of silence ends the connection as well: its other side may have gone without a word.
    fn gave_none(&self, why: &str) {
        let begun = self.bypass().failed(Instant::now());
        if self.bypass().is_on() {
            self.link.cut();
        }
        if begun {
            warn!("going on without redis, which costs speed and nothing else: {why}");
        }
    }

    fn bypass(&self) -> MutexGuard<'_, Bypass> {
        // Nothing in there can panic halfway.
        self.bypass.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claims for Redis {
    fn claim<'a>(&'a self, worker: &'a str, keys: &'a [Key]) -> Answer<'a, Vec<Claimed>> {
        Box::pin(self.ask_to_claim(worker, keys))
    }

    fn remember<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, ()> {
        Box::pin(self.ask_to_remember(keys))
    }

    fn release<'a>(&'a self, worker: &'a str, keys: &'a [Key]) -> Answer<'a, ()> {
        Box::pin(self.ask_to_release(worker, keys))
    }

    fn is_bypassed(&self) -> bool {
        self.bypass().is_on()
    }

    fn bypassed_total(&self) -> u64 {
        self.bypassed.load(Ordering::Relaxed)
    }
}

fn named(key: &Key) -> String {
    format!("spillway:claim:{key}")
}

/// `SET … NX GET` answers with what was there, and sets only where nothing was.
fn claimed(worker: &str, holder: Option<String>) -> Claimed {
    match holder.as_deref() {
        None => Claimed::Granted,
        Some(DONE) => Claimed::AlreadyApplied,
        Some(name) if name == worker => Claimed::Granted,
        Some(_) => Claimed::HeldElsewhere,
    }
}
