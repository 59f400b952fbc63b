//! Claims in Redis: who is at work on an event, and what was applied lately. A hint, never a proof (I4).
//!
//! Redis may be emptied, frozen or gone at any moment and only speed changes: the unique row in the
//! database is what keeps an event from being applied twice. Claims keep a storm of duplicates off that
//! row's lock.

mod bypass;
mod link;
mod redis;

use crate::{RecallUrl, StartError};
use envelope::Key;
use redis::Redis;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What Redis says about an event somebody wants to work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours to work on: nobody else holds it, or we already did.
    Granted,
    /// It was applied lately. The row has the last word: process it all the same, the ledger finds the
    /// duplicate.
    AlreadyApplied,
    /// Somebody else is at work on it.
    HeldElsewhere,
    /// Redis did not say in time, or there is none: go on without.
    Unknown,
}

/// What keeps claims: Redis, or the simulation's. No call fails and none takes long.
#[doc(hidden)]
pub trait Claims: Send + Sync {
    /// See [`Recall::claim`].
    fn claim<'a>(&'a self, worker: &'a str, keys: &'a [Key]) -> Answer<'a, Vec<Claimed>>;

    /// See [`Recall::remember`].
    fn remember<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, ()>;

    /// See [`Recall::release`].
    fn release<'a>(&'a self, worker: &'a str, keys: &'a [Key]) -> Answer<'a, ()>;

    /// See [`Recall::is_bypassed`].
    fn is_bypassed(&self) -> bool;

    /// See [`Recall::bypassed_total`].
    fn bypassed_total(&self) -> u64;
}

/// An answer to come.
#[doc(hidden)]
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Access to Redis, or to nothing. Every call is bounded to 50 ms and none fails. Cheap to clone.
#[derive(Clone)]
pub struct Recall(Option<Arc<dyn Claims>>);

impl Recall {
    /// Nothing to ask: every claim is [`Claimed::Unknown`], at once.
    pub fn none() -> Self {
        Self(None)
    }

    /// Redis, version 7 or later (`SET … NX GET`). It is connected to at the first call, and again
    /// whenever the connection was lost; one that is away now is no error.
    pub fn redis(url: &RecallUrl) -> Result<Self, StartError> {
        Ok(Self(Some(Arc::new(Redis::new(url)?))))
    }

    /// Claims kept by something else than Redis.
    #[doc(hidden)]
    pub fn over(claims: impl Claims + 'static) -> Self {
        Self(Some(Arc::new(claims)))
    }

    /// Whether there is anything to ask.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Claims events for `worker` for ten seconds, in one round trip; in the order of `keys`.
    ///
    /// `worker` is the name of one process, and not `done`.
    pub async fn claim(&self, worker: &str, keys: &[Key]) -> Vec<Claimed> {
        match &self.0 {
            Some(claims) => claims.claim(worker, keys).await,
            None => vec![Claimed::Unknown; keys.len()],
        }
    }

    /// Remembers events as applied, for as long as a storm of duplicates lasts (15 minutes). After the
    /// commit, never before (I7).
    pub async fn remember(&self, keys: &[Key]) {
        if let Some(claims) = &self.0 {
            claims.remember(keys).await;
        }
    }

    /// Gives up those claims that are still ours.
    pub async fn release(&self, worker: &str, keys: &[Key]) {
        if let Some(claims) = &self.0 {
            claims.release(worker, keys).await;
        }
    }

    /// Whether Redis is left alone now, since it gave no answer several times in a row.
    pub fn is_bypassed(&self) -> bool {
        self.0.as_ref().is_some_and(|claims| claims.is_bypassed())
    }

    /// How many events went on without a claim because Redis gave no answer, since the start.
    pub fn bypassed_total(&self) -> u64 {
        self.0.as_ref().map_or(0, |claims| claims.bypassed_total())
    }
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.is_some() { "redis" } else { "none" };
        write!(f, "Recall({kind})")
    }
}
