//! Starting a broker by its URL: the same two handles, whichever it is.

use crate::{
    Consumer, InHand, JournalError, JournalReader, JournalStart, Look, LookError, Publisher, Pulse,
    Pulses, QueueName, Topology, Vitals, amqp, embedded,
};
use envelope::{EventId, SourceName, UnixMicros};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Which broker, and where.
#[derive(Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// `amqp://user:password@host:port/vhost`: RabbitMQ.
    Amqp(url::Url),
    /// `embedded:PATH`: SQLite in this process, in the file PATH.
    Embedded(PathBuf),
}

/// The bounds of a broker's client side (I8), each with the reason for its default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the program names itself on its connections, for the operator who looks at them.
    pub program: String,
    /// Publishing connections. The client library gives each a thread, which one door does not use up on two cores:
    /// with two it is slower there (`cargo xtask bench --only ingest-alone`, with one and with two).
    pub publish_connections: usize,
    /// Channels in each, one task each.
    pub channels_per_connection: usize,
    /// Unconfirmed events in a channel: 32–128 is the knee, more only adds latency.
    pub in_flight_max: usize,
    /// Events waiting for room in a channel; above it the answer is "overloaded" at once.
    pub waiting_max: usize,
    /// How long new queues are left alone before anything is put into them. RabbitMQ 3.10 writes the name of a new
    /// quorum queue down up to three seconds after it has declared it, and confirms events meanwhile;
    /// killed in between, it forgets the queue and them (measured). Only the first start of all pays this.
    pub settle_new_queues: Duration,
}

impl Settings {
    /// The settings measured to be at the knee of a quorum queue.
    pub fn of(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            publish_connections: 1,
            channels_per_connection: 4,
            in_flight_max: 128,
            waiting_max: 256,
            settle_new_queues: Duration::from_secs(5),
        }
    }
}

/// Why a broker could not be started, in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The embedded broker's file cannot be used.
    #[error("the embedded broker cannot use {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The spool's file cannot be used.
    #[error("the spool cannot use {path}: {why}")]
    Spool {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// An exchange or queue exists with other arguments. It has to be deleted by hand: only a person can
    /// tell whether something is still in it.
    #[error("the broker's topology differs from what this program needs: {0}")]
    Topology(String),
    /// The URL names no broker we know.
    #[error("{0} is not a broker URL: write amqp://user:password@host:5672/vhost or embedded:PATH")]
    Url(String),
}

/// A broker, started. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Broker {
    /// RabbitMQ.
    Amqp(amqp::Broker),
    /// SQLite in this process.
    Embedded(embedded::Broker),
}

impl Broker {
    /// Starts the broker's client side; its tasks run until `stop` is cancelled and their work is done.
    ///
    /// A RabbitMQ that is away is not an error: it is connected to for ever, in the background.
    pub fn start(
        url: &BrokerUrl,
        topology: &Topology,
        settings: Settings,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        Ok(match url {
            BrokerUrl::Amqp(url) => Self::Amqp(amqp::Broker::start(url, topology, settings, stop)),
            BrokerUrl::Embedded(path) => {
                Self::Embedded(embedded::Broker::start(path, topology, &settings, stop)?)
            }
        })
    }

    /// Uses a broker that others serve, as an operator's command does: it publishes, reads the journal and
    /// looks, beside whoever is at work or while nobody is, and changes nothing by being there.
    ///
    /// It declares nothing. A command with another configuration than the programs would otherwise make
    /// queues that nobody reads from and that take a copy of every event. For the same reason it makes no
    /// file. What has no queue is refused (embedded) or lands among the unrouted (RabbitMQ). An embedded
    /// broker that is attached to consumes nothing, and hears no pulses of other processes.
    ///
    /// # Errors
    /// Where the embedded broker's file is not there, or is not ours.
    pub fn attach(
        url: &BrokerUrl,
        topology: &Topology,
        settings: Settings,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        Ok(match url {
            BrokerUrl::Amqp(url) => Self::Amqp(amqp::Broker::attach(url, topology, settings, stop)),
            BrokerUrl::Embedded(path) => {
                Self::Embedded(embedded::Broker::attach(path, topology, &settings, stop)?)
            }
        })
    }

    /// The publishing end.
    pub fn publisher(&self) -> Publisher {
        match self {
            Self::Amqp(broker) => broker.publisher(),
            Self::Embedded(broker) => broker.publisher(),
        }
    }

    /// Starts to consume a queue with at most `prefetch` deliveries unsettled.
    pub fn consumer(&self, queue: QueueName, prefetch: u16) -> Consumer {
        match self {
            Self::Amqp(broker) => broker.consumer(queue, prefetch),
            Self::Embedded(broker) => broker.consumer(queue, prefetch),
        }
    }

    /// How many events are ready in the fullest of these queues, looked at once a second for as long as
    /// somebody watches; nothing while that is unknown.
    pub fn watch_depth(&self, queues: Vec<QueueName>) -> watch::Receiver<Option<u64>> {
        match self {
            Self::Amqp(broker) => broker.watch_depth(queues),
            Self::Embedded(broker) => broker.watch_depth(queues),
        }
    }

    /// Reads the journal from `start` to what lies in it now.
    pub fn read_journal(&self, start: JournalStart) -> JournalReader {
        match self {
            Self::Amqp(broker) => broker.read_journal(start),
            Self::Embedded(broker) => broker.read_journal(start),
        }
    }

    /// How far back the journal sees: when its oldest event was received. Nothing where it holds none.
    ///
    /// An event that waited in a spool was received long before it was entered, so this may reach further
    /// back than the journal is complete.
    pub async fn journal_reach(&self) -> Result<Option<UnixMicros>, JournalError> {
        let reader = self.read_journal(JournalStart::Oldest);
        reader.first_received_at().await
    }

    /// How much lies in each of these queues, in their order.
    ///
    /// RabbitMQ is asked for one after the other, so an event that moves meanwhile may be seen twice or not
    /// at all; SQLite is asked for all at once.
    pub async fn look(&self, queues: &[QueueName]) -> Result<Vec<Look>, LookError> {
        match self {
            Self::Amqp(broker) => broker.look(queues).await,
            Self::Embedded(broker) => broker.look(queues).await,
        }
    }

    /// Whether each of these events lies in any queue, ready, unacked or delayed. Nothing where the broker
    /// cannot say: RabbitMQ finds no message by its id. The embedded one scans all its queues for them.
    pub async fn holds(
        &self,
        events: &[(SourceName, EventId)],
    ) -> Result<Option<Vec<bool>>, LookError> {
        match self {
            Self::Amqp(_) => Ok(None),
            Self::Embedded(broker) => broker.holds(events).await.map(Some),
        }
    }

    /// What this process has in hand of a queue, over all its consumers of it.
    pub fn in_hand(&self, queue: &QueueName) -> InHand {
        match self {
            Self::Amqp(broker) => broker.in_hand(queue),
            Self::Embedded(broker) => broker.in_hand(queue),
        }
    }

    /// Sends what `make` says once a second, until the broker stops. Lost where the broker is away or
    /// blocked: the next is a second away, and worth more.
    pub fn pulse(&self, make: impl Fn() -> Pulse + Send + Sync + 'static) {
        match self {
            Self::Amqp(broker) => broker.pulse(make),
            Self::Embedded(broker) => broker.pulse(make),
        }
    }

    /// The pulses of all workers from now on; of an embedded broker, those in this process.
    pub fn pulses(&self) -> Pulses {
        match self {
            Self::Amqp(broker) => broker.pulses(),
            Self::Embedded(broker) => broker.pulses(),
        }
    }

    /// How the connections with the broker are. The embedded one has none, so nothing blocks them.
    pub fn vitals(&self) -> Vitals {
        match self {
            Self::Amqp(broker) => broker.vitals(),
            Self::Embedded(_) => Vitals::of_publisher(),
        }
    }

    /// Returns once a session has stood with the whole topology declared: the moment of readiness. Fails
    /// where only a person can help.
    pub async fn ready(&self) -> Result<(), StartError> {
        match self {
            Self::Amqp(broker) => broker.ready().await,
            Self::Embedded(_) => Ok(()),
        }
    }

    /// Returns when every task has ended after `stop`: publishes have their verdicts, endings are told.
    pub async fn stopped(&self) {
        match self {
            Self::Amqp(broker) => broker.stopped().await,
            Self::Embedded(broker) => broker.stopped().await,
        }
    }
}

impl FromStr for BrokerUrl {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text itself may hold a password, so an error names the scheme alone (I9).
        let scheme = text.split(':').next().unwrap_or_default();
        match scheme {
            "embedded" => Ok(Self::Embedded(PathBuf::from(&text["embedded:".len()..]))),
            "amqp" => text
                .parse()
                .map(Self::Amqp)
                .map_err(|_| StartError::Url("amqp:…".to_owned())),
            other => Err(StartError::Url(format!("{other}:…"))),
        }
    }
}

impl fmt::Display for BrokerUrl {
    /// The URL without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amqp(url) => {
                let (host, port) = (url.host_str().unwrap_or(""), url.port().unwrap_or(5672));
                write!(f, "amqp://{}@{host}:{port}{}", url.username(), url.path())
            }
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
        }
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
