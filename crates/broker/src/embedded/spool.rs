//! The spool: an embedded broker with one queue, for events the real one does not take now.
//!
//! It keeps ([`Spool::keep`]) and gives back ([`Spool::consumer`]); who brings what it gives back to the
//! real broker, and how fast, is for the caller to say.

use super::place;
use super::{Broker, Unreadable, schema, store};
use crate::{
    Confirmed, Consumer, Destination, Pipeline, PublishError, Publisher, QueueName, Settings,
    SourceFilter, StartError, Topology,
};
use envelope::{Envelope, PipelineName};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Events on their way into the spool at most, beside those in the group being fsynced. As many as a door
/// answers at once; their bodies are bounded by the door.
const WAITING_MAX: usize = 2_048;

/// A spool, started. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool {
    /// Nothing where somebody else gives the events back.
    broker: Option<Broker>,
    publisher: Publisher,
    max_bytes: u64,
}

/// Proof that an event is in the spool, fsynced (I1).
///
/// Only [`Spool::keep`] makes one, of the confirm of a queue that fsyncs.
#[derive(Debug)]
#[must_use = "a proof that nobody looks at proves nothing to anybody"]
pub struct Spooled(#[allow(dead_code, reason = "the proof it is made of")] Confirmed);

/// Why an event is not known to be in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// It holds as much as it may.
    #[error("the spool is full")]
    Full,
    /// Its file takes nothing now: the disk is full or broken, or it is being stopped.
    #[error("the spool takes nothing: {0}")]
    Failed(#[from] PublishError),
    /// Its file cannot be read, so how full it is cannot be told.
    #[error("the spool cannot be read")]
    Unreadable,
}

/// How much lies in a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Events.
    pub events: u64,
    /// Bytes of the file in use by them, with everything SQLite needs around them. The file itself does not
    /// shrink; what is free in it is used again.
    pub bytes: u64,
}

impl Spool {
    /// Opens the file, creating it if it is not there, and serves it until `stop` is cancelled.
    ///
    /// # Errors
    /// Where the file is another process's, lies in memory (tmpfs), or is no spool of ours.
    pub fn start(path: &Path, max_bytes: u64, stop: CancellationToken) -> Result<Self, StartError> {
        place::refuse_memory(path).map_err(|why| refusal(path, &why))?;
        let settings = Settings {
            publish_connections: 1,
            channels_per_connection: 1,
            in_flight_max: 0,
            waiting_max: WAITING_MAX,
            ..Settings::of("spool")
        };
        let broker =
            Broker::serve(path, &topology(), &settings, stop).map_err(|why| refusal(path, &why))?;
        Ok(Self {
            publisher: broker.publisher(),
            broker: Some(broker),
            max_bytes,
        })
    }

    /// Keeps through this publisher, which is the simulation's. It is never full, and gives nothing back.
    #[doc(hidden)]
    pub fn over(publisher: Publisher) -> Self {
        Self {
            broker: None,
            publisher,
            max_bytes: u64::MAX,
        }
    }

    /// Stores an event; once this returns, it survives the machine.
    ///
    /// Full is seen before it is written: a burst may exceed the bound by what is in flight. A caller that
    /// stops waiting does not take the event back.
    pub async fn keep(&self, envelope: Envelope) -> Result<Spooled, KeepError> {
        let used = self.standing().map_err(|_| KeepError::Unreadable)?.bytes;
        if used.saturating_add(envelope.body.len() as u64) > self.max_bytes {
            return Err(KeepError::Full);
        }
        let to = Destination::Queue(queue());
        Ok(Spooled(self.publisher.publish(to, envelope).await?))
    }

    /// Takes events out, oldest first, with at most `prefetch` in hand. An event leaves the spool with the
    /// ack of its receipt.
    pub fn consumer(&self, prefetch: u16) -> Consumer {
        match &self.broker {
            Some(broker) => broker.consumer(queue(), prefetch),
            None => crate::consumer(prefetch).0,
        }
    }

    /// How much lies in it. A few microseconds, whatever it is.
    pub fn standing(&self) -> Result<Standing, Unreadable> {
        let Some(broker) = &self.broker else {
            return Ok(Standing::default());
        };
        Ok(store::standing(&broker.reading(), &queue())?.unwrap_or_default())
    }

    /// How much lies in a spool that somebody else may be serving.
    ///
    /// # Errors
    /// Where there is no such file, or it is no spool.
    pub fn look(path: &Path) -> Result<Standing, StartError> {
        let standing = schema::open_to_read(path).and_then(|db| store::standing(&db, &queue()));
        match standing {
            Ok(Some(standing)) => Ok(standing),
            Ok(None) => Err(refusal(
                path,
                &"it is no spool: nothing was ever spooled in it",
            )),
            Err(why) => Err(refusal(path, &why)),
        }
    }

    /// Returns once everything has ended after `stop`.
    pub async fn stopped(&self) {
        if let Some(broker) = &self.broker {
            broker.stopped().await;
        }
    }
}

/// One queue that takes every source. What else a pipeline has lies there empty.
fn topology() -> Topology {
    let pipeline = Pipeline {
        name: name(),
        sources: SourceFilter::All,
    };
    Topology {
        sources: Vec::new(),
        pipelines: vec![pipeline],
        // An event enters the journal when it reaches the real broker.
        journal: None,
    }
}

fn queue() -> QueueName {
    QueueName::main(&name())
}

fn name() -> PipelineName {
    "spool".parse().expect("a name of ours")
}

fn refusal(path: &Path, why: &dyn std::fmt::Display) -> StartError {
    StartError::Spool {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
