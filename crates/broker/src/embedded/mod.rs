//! The embedded broker: the same semantics as RabbitMQ's, on one SQLite file in this process.
//!
//! One thread owns the file and writes in groups: what came while the last group was being fsynced is the
//! next one. The way of an event: `thread.rs` (when) → `writer.rs` (what) → `route.rs` (where to) →
//! `change.rs` (the SQL) → `dispatch.rs` (to whom) → `reader.rs` (what became of it).
//!
//! - A publish is confirmed after the fsync of its transaction, never before (I1).
//! - An ack is written without an fsync of its own: after a power cut the event comes again.
//! - That something was handed out survives the process, so a crash is seen in its delivery count.
//! - Other processes may insert like any publisher; that is noticed within a quarter of a second.
//! - One process serves a file; a second is refused by a lock (`place.rs`).
//!
//! Beside it others may publish (`guest.rs`) and look (`journal.rs`, `holds.rs`).
//!
//! `spool.rs` is the same with one queue, for a door whose broker is away.

mod change;
mod dispatch;
mod guest;
mod holds;
mod journal;
mod place;
mod reader;
mod route;
mod schema;
mod spool;
mod store;
#[cfg(test)]
mod tests;
mod thread;
mod writer;

pub use spool::{KeepError, Spool, Spooled, Standing};
pub use store::Depth;

use crate::in_hand::HandBook;
use crate::journal::journal_reader;
use crate::pulse::{PULSE_INTERVAL, PULSES_MAX};
use crate::{
    Consumer, InHand, JournalError, JournalReader, JournalStart, LaneState, Look, LookError,
    Publisher, Pulse, Pulses, QueueName, Settings, StartError, Topology,
};
use envelope::{EventId, SourceName};
use guest::Guest;
use place::{Lock, PlaceError};
use rusqlite::Connection;
use schema::OpenError;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use thread::{Clock, Joining, Thread};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use writer::Writer;

/// Consumers that begin while the thread is in an fsync. A program has one or two for each queue.
const JOINING_MAX: usize = 64;

/// The wall clock, read here and handed in (I10).
const CLOCK: Clock = || SystemTime::now().into();

/// An embedded broker, started. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker {
    publisher: Publisher,
    joining: mpsc::Sender<Joining>,
    reading: Arc<Mutex<Connection>>,
    path: Arc<Path>,
    has_journal: bool,
    hands: HandBook,
    pulses: broadcast::Sender<Pulse>,
    stop: CancellationToken,
    ended: CancellationToken,
}

/// The file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the embedded broker's file cannot be read")]
pub struct Unreadable(#[from] rusqlite::Error);

impl Broker {
    /// Opens the file, creating it if it is not there, and serves it until `stop` is cancelled.
    ///
    /// Everything confirmed earlier is there; what was in somebody's hands is handed out again.
    ///
    /// # Errors
    /// Where the file cannot be opened, is not ours, or is being served by somebody else.
    pub fn start(
        path: &Path,
        topology: &Topology,
        settings: &Settings,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let refuse = |why: String| StartError::File {
            path: path.to_owned(),
            why,
        };
        Self::serve(path, topology, settings, stop).map_err(|error| refuse(error.to_string()))
    }

    fn serve(
        path: &Path,
        topology: &Topology,
        settings: &Settings,
        stop: CancellationToken,
    ) -> Result<Self, CannotStart> {
        let lock = Lock::take(path)?;
        let writer = Writer::open(path, topology)?;
        let reading = Arc::new(Mutex::new(
            schema::open_to_read(path).map_err(OpenError::from)?,
        ));
        let (publisher, mut lanes) = crate::publisher(1, waiting_max(settings));
        let (joining, joined) = mpsc::channel(JOINING_MAX);
        let ended = CancellationToken::new();
        let lane = lanes.pop().expect("one lane was asked for");
        lane.set_state(LaneState::Up);
        let thread = Thread::new(writer, lane, joined, CLOCK, stop.clone());
        spawn(|| thread.run(), Some(lock), ended.clone().drop_guard())?;
        Ok(Self {
            publisher,
            joining,
            reading,
            path: path.into(),
            has_journal: topology.journal.is_some(),
            hands: HandBook::default(),
            pulses: broadcast::channel(PULSES_MAX).0,
            stop,
            ended,
        })
    }

    /// Uses a file that somebody else may be serving: publishes into it and looks. It consumes nothing.
    ///
    /// # Errors
    /// Where the file is not there, was never served, or is not ours.
    pub fn attach(
        path: &Path,
        topology: &Topology,
        settings: &Settings,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let refuse = |error: CannotStart| StartError::File {
            path: path.to_owned(),
            why: error.to_string(),
        };
        Self::join(path, topology, settings, stop).map_err(refuse)
    }

    fn join(
        path: &Path,
        topology: &Topology,
        settings: &Settings,
        stop: CancellationToken,
    ) -> Result<Self, CannotStart> {
        if !path.exists() {
            return Err(CannotStart::NotThere);
        }
        let (publisher, mut lanes) = crate::publisher(1, waiting_max(settings));
        let lane = lanes.pop().expect("one lane was asked for");
        let guest = Guest::open(path, topology, lane, CLOCK, stop.clone())?;
        let guest = guest.ok_or(CannotStart::NeverServed)?;
        let reading = Arc::new(Mutex::new(
            schema::open_to_read(path).map_err(OpenError::from)?,
        ));
        let ended = CancellationToken::new();
        spawn(|| guest.run(), None, ended.clone().drop_guard())?;
        Ok(Self {
            publisher,
            // Nobody is at the other end, so a consumer ends as it begins.
            joining: mpsc::channel(1).0,
            reading,
            path: path.into(),
            has_journal: topology.journal.is_some(),
            hands: HandBook::default(),
            pulses: broadcast::channel(PULSES_MAX).0,
            stop,
            ended,
        })
    }

    /// The publishing end.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Starts to consume a queue with at most `prefetch` deliveries unsettled. A consumer of a broker that
    /// has stopped, or of a queue that is not declared, ends at once.
    pub fn consumer(&self, queue: QueueName, prefetch: u16) -> Consumer {
        let (consumer, feed) = crate::consumer(prefetch);
        let line = self.hands.begin(&queue);
        let joining = Joining {
            queue,
            prefetch,
            feed,
            line,
        };
        // A broker that has ended gives the feed back, to be dropped: that ends the consumer.
        if let Err(refused) = self.joining.try_send(joining) {
            tracing::warn!("a consumer ends as it begins: {refused}");
        }
        consumer
    }

    /// How much lies in a queue. A few microseconds, whatever the depth. What waits in a retry queue is
    /// `delayed` in the queue it will join.
    pub fn depth(&self, queue: &QueueName) -> Result<Depth, Unreadable> {
        Ok(store::depth(&self.reading(), queue)?.unwrap_or_default())
    }

    pub(crate) async fn look(&self, queues: &[QueueName]) -> Result<Vec<Look>, LookError> {
        let (path, queues) = (self.path.clone(), queues.to_vec());
        asked(move || look(&path, &queues)).await?
    }

    pub(crate) async fn holds(
        &self,
        events: &[(SourceName, EventId)],
    ) -> Result<Vec<bool>, LookError> {
        let (path, events) = (self.path.clone(), events.to_vec());
        let held = asked(move || holds::holds(&path, &events)).await?;
        held.map_err(|why| LookError::Unreadable(why.to_string()))
    }

    pub(crate) fn read_journal(&self, start: JournalStart) -> JournalReader {
        let (reader, feed) = journal_reader();
        let (path, has_journal) = (self.path.clone(), self.has_journal);
        tokio::task::spawn_blocking(move || match has_journal {
            true => journal::read(&path, start, feed),
            false => feed.blocking_end(Err(JournalError::Missing)),
        });
        reader
    }

    pub(crate) fn in_hand(&self, queue: &QueueName) -> InHand {
        self.hands.in_hand(queue)
    }

    pub(crate) fn pulse(&self, make: impl Fn() -> Pulse + Send + Sync + 'static) {
        let (pulses, stop) = (self.pulses.clone(), self.stop.clone());
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(PULSE_INTERVAL);
            while stop.run_until_cancelled(tick.tick()).await.is_some() {
                // Nobody listens: then nobody misses it.
                let _ = pulses.send(make());
            }
        });
    }

    pub(crate) fn pulses(&self) -> Pulses {
        Pulses::of(self.pulses.subscribe(), self.ended.clone())
    }

    /// The depth of the fullest of these queues, looked at once a second for as long as somebody watches.
    pub(crate) fn watch_depth(&self, queues: Vec<QueueName>) -> watch::Receiver<Option<u64>> {
        let (depth, watched) = watch::channel(None);
        let broker = self.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            while !depth.is_closed() {
                tick.tick().await;
                let ready = |queue| broker.depth(queue).ok().map(|depth| depth.ready);
                let fullest = queues.iter().map(ready).collect::<Option<Vec<_>>>();
                depth.send_replace(fullest.and_then(|depths| depths.into_iter().max()));
            }
        });
        watched
    }

    /// A connection to look with. A reader that panicked has left nothing half done in it.
    fn reading(&self) -> MutexGuard<'_, Connection> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once everything has ended after `stop`: publishes have their verdicts, endings are written.
    pub async fn stopped(&self) {
        self.ended.cancelled().await;
    }
}

#[derive(Debug, thiserror::Error)]
enum CannotStart {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
    #[error("there is no such file")]
    NotThere,
    #[error("no broker ever served it")]
    NeverServed,
}

/// Asks a thread that may block.
async fn asked<T: Send + 'static>(
    ask: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LookError> {
    let answer = tokio::task::spawn_blocking(ask).await;
    answer.map_err(|why| LookError::Unreadable(why.to_string()))
}

/// All at once: in one transaction nothing moves.
fn look(path: &Path, queues: &[QueueName]) -> Result<Vec<Look>, LookError> {
    let unreadable = |why: rusqlite::Error| LookError::Unreadable(why.to_string());
    let mut db = schema::open_to_read(path).map_err(unreadable)?;
    let moment = db.transaction().map_err(unreadable)?;
    let look = |queue: &QueueName| {
        let depth = store::depth(&moment, queue).map_err(unreadable)?;
        let depth = depth.ok_or_else(|| LookError::Missing(queue.clone()))?;
        Ok(Look {
            ready: depth.ready,
            unacked: Some(depth.unacked),
            delayed: Some(depth.delayed),
            consumers: None,
        })
    };
    queues.iter().map(look).collect()
}

fn spawn<F: Future>(
    work: impl FnOnce() -> F + Send + 'static,
    lock: Option<Lock>,
    ended: DropGuard,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    std::thread::Builder::new()
        .name("spillway-broker".to_owned())
        .spawn(move || {
            // Dropped last, also when the thread panics.
            let _ended = ended;
            // Given back before anybody is told of the end, so that who waits for it can start again.
            let _lock = lock;
            runtime.block_on(work());
        })?;
    Ok(())
}

/// As many events as a broker with all these channels would have in hand: one bound for both.
fn waiting_max(settings: &Settings) -> usize {
    let channels = settings.publish_connections * settings.channels_per_connection;
    (channels * (settings.in_flight_max + settings.waiting_max)).max(1)
}
