//! The simulated Redis: claims that run out, are flushed, or are not to be had.

use envelope::Key;
use ledger::{Answer, Claimed, Claims, Recall};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What the real client waits for an answer.
const BUDGET: Duration = Duration::from_millis(50);
/// How long a claim stands, and how long what was applied is remembered.
const LEASE: Duration = Duration::from_secs(10);
const REMEMBERED: Duration = Duration::from_secs(900);

const DONE: &str = "done";

/// One Redis, shared by its clients. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Redis(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    keys: Mutex<BTreeMap<Key, Held>>,
    frozen_until: Mutex<Option<Instant>>,
    bypassed: AtomicU64,
}

#[derive(Clone, Debug)]
struct Held {
    by: String,
    until: Instant,
}

impl Redis {
    /// A client of it.
    pub fn recall(&self) -> Recall {
        Recall::over(self.clone())
    }

    /// Forgets everything.
    pub fn flush(&self) {
        self.keys().clear();
    }

    /// Lets every claim run out, and keeps what is remembered.
    pub fn expire_claims(&self) {
        self.keys().retain(|_, held| held.by == DONE);
    }

    /// Answers nothing for so long.
    pub fn freeze(&self, length: Duration) {
        let until = Instant::now() + length;
        *self
            .0
            .frozen_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn is_frozen(&self) -> bool {
        let until = *self
            .0
            .frozen_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether there is an answer. Where there is none, its time has passed.
    async fn answers(&self) -> bool {
        let is_frozen = self.is_frozen();
        if is_frozen {
            sleep(BUDGET).await;
        }
        !is_frozen
    }

    fn claim_one(&self, worker: &str, key: Key) -> Claimed {
        let now = Instant::now();
        let mut keys = self.keys();
        let held = keys.get(&key).filter(|held| now < held.until);
        match held.map(|held| held.by.as_str()) {
            None => {
                let held = Held {
                    by: worker.to_owned(),
                    until: now + LEASE,
                };
                keys.insert(key, held);
                Claimed::Granted
            }
            Some(DONE) => Claimed::AlreadyApplied,
            Some(name) if name == worker => Claimed::Granted,
            Some(_) => Claimed::HeldElsewhere,
        }
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<Key, Held>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claims for Redis {
    fn claim<'a>(&'a self, worker: &'a str, keys: &'a [Key]) -> Answer<'a, Vec<Claimed>> {
        Box::pin(async move {
            if !self.answers().await {
                let count = keys.len() as u64;
                self.0.bypassed.fetch_add(count, Ordering::Relaxed);
                return vec![Claimed::Unknown; keys.len()];
            }
            keys.iter()
                .map(|key| self.claim_one(worker, *key))
                .collect()
        })
    }

    fn remember<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.answers().await {
                let held = Held {
                    by: DONE.to_owned(),
                    until: Instant::now() + REMEMBERED,
                };
                let done = keys.iter().map(|key| (*key, held.clone()));
                self.keys().extend(done);
            }
        })
    }

    fn release<'a>(&'a self, worker: &'a str, keys: &'a [Key]) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.answers().await {
                let is_ours = |key: &Key, held: &Held| held.by == worker && keys.contains(key);
                self.keys().retain(|key, held| !is_ours(key, held));
            }
        })
    }

    fn is_bypassed(&self) -> bool {
        // It has no breaker: each question that is not answered is one event on its way without a claim.
        false
    }

    fn bypassed_total(&self) -> u64 {
        self.0.bypassed.load(Ordering::Relaxed)
    }
}
