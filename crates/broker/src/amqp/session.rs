//! One connection from its opening to its end. A session is never repaired, only replaced.

use super::declare;
use crate::{Settings, StartError, Topology, Vitals};
use futures_util::StreamExt;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use resilience::Backoff;
use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Bounds every step that opens something. A frozen broker accepts the TCP connection and then says
/// nothing for ever; ten seconds is far above any handshake that will still succeed.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bounds a close. A blocked connection does not even write its close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that is silent for two heartbeats is gone: 20 s instead of the server's default of two minutes.
const HEARTBEAT_SECONDS: u16 = 10;

/// Everything needed to open a session.
#[derive(Debug)]
pub(super) struct Link {
    uri: AMQPUri,
    pub(super) topology: Topology,
    pub(super) settings: Settings,
    pub(super) stop: CancellationToken,
    pub(super) readiness: Readiness,
    pub(super) vitals: Vitals,
    declaring: Mutex<()>,
    declared: AtomicBool,
    declares: bool,
}

/// An open connection with the topology declared on it.
pub(super) struct Session {
    connection: Connection,
    /// Which session this is, for the log.
    pub(super) epoch: u64,
    /// What the broker lets us do.
    pub(super) condition: watch::Receiver<Condition>,
    ended: CancellationToken,
}

/// What the broker lets a connection do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Everything.
    Open,
    /// Nothing: it reads nothing from us until its alarm is over.
    Blocked,
}

/// Why no session stands.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The broker is away, or will be understood again later.
    #[error("{0}")]
    Away(String),
    /// Only a person can help.
    #[error("{0}")]
    Topology(String),
}

/// Whether a session has ever stood.
#[derive(Clone, Debug)]
pub(super) struct Readiness(watch::Sender<Start>);

#[derive(Clone, Debug)]
enum Start {
    Waiting,
    Stood,
    Hopeless(String),
}

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::Sender::new(Start::Waiting))
    }
}

impl Readiness {
    pub(super) async fn wait(&self) -> Result<(), StartError> {
        let mut start = self.0.subscribe();
        let settled = start
            .wait_for(|start| !matches!(start, Start::Waiting))
            .await;
        match settled.as_deref() {
            Ok(Start::Hopeless(why)) => Err(StartError::Topology(why.clone())),
            Ok(Start::Waiting | Start::Stood) | Err(_) => Ok(()),
        }
    }

    /// A lane takes events.
    pub(super) fn stood(&self) {
        self.0.send_replace(Start::Stood);
    }

    /// Counts only before the first session: later, ingest answers 503 and an operator is at work.
    fn hopeless(&self, why: &str) {
        self.0.send_if_modified(|start| {
            let waiting = matches!(start, Start::Waiting);
            if waiting {
                *start = Start::Hopeless(why.to_owned());
            }
            waiting
        });
    }
}

impl Link {
    pub(super) fn new(
        url: &url::Url,
        topology: &Topology,
        settings: Settings,
        stop: CancellationToken,
        readiness: Readiness,
    ) -> Self {
        // The URL was parsed once already; what this parser refuses on top is a scheme we do not offer.
        let mut uri: AMQPUri = url.as_str().parse().unwrap_or_default();
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT_SECONDS));
        uri.query.connection_timeout = uri
            .query
            .connection_timeout
            .or(Some(OPEN_TIMEOUT.as_millis() as u64));
        Self {
            uri,
            topology: topology.clone(),
            settings,
            stop,
            readiness,
            vitals: Vitals::of_publisher(),
            declaring: Mutex::default(),
            declared: AtomicBool::new(false),
            declares: true,
        }
    }

    /// A link whose sessions find what is there and declare nothing.
    pub(super) fn for_guests(mut self) -> Self {
        self.declares = false;
        self
    }

    /// Opens sessions one after the other for ever, gives each to `work`, and waits between failures with
    /// full jitter. While none stands, `meanwhile` runs.
    ///
    /// Ends when `work` says so or when we are stopping and no session stands.
    pub(super) async fn keep_open<W: SessionWork>(&self, purpose: &str, work: &mut W) {
        let mut failures = 0;
        self.vitals.knows(W::CONNECTION);
        while !self.stop.is_cancelled() {
            let opened = tokio::select! {
                opened = self.open(purpose, W::CONSUMES) => opened,
                () = self.stop.cancelled() => return,
                () = work.meanwhile() => return,
            };
            match opened {
                Ok(session) => {
                    info!(
                        epoch = session.epoch,
                        "connected to the broker for {purpose}"
                    );
                    let done = tokio::select! {
                        biased;
                        done = work.run(&session) => done,
                        never = self.tell_of(W::CONNECTION, session.condition.clone()) => match never {},
                    };
                    session.close().await;
                    if done {
                        return;
                    }
                    failures = 0;
                    warn!(
                        epoch = session.epoch,
                        "lost the broker for {purpose}, connecting again"
                    );
                }
                Err(why) => {
                    warn!("cannot reach the broker for {purpose}: {why}");
                    if let OpenError::Topology(why) = why {
                        self.readiness.hopeless(&why);
                    }
                }
            }
            let wait = Backoff::RECONNECT.wait(failures, fastrand::f64());
            failures += 1;
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop.cancelled() => return,
                () = work.meanwhile() => return,
            }
        }
    }

    /// Says on the metrics page whether the broker blocks this connection.
    async fn tell_of(
        &self,
        connection: &'static str,
        mut condition: watch::Receiver<Condition>,
    ) -> Infallible {
        loop {
            let blocked = *condition.borrow_and_update() == Condition::Blocked;
            let _blocked = blocked.then(|| self.vitals.blocked(connection));
            if condition.changed().await.is_err() {
                // The connection has ended, and so will the work on it.
                return std::future::pending().await;
            }
        }
    }

    /// Opens one session, once.
    pub(super) async fn open(&self, purpose: &str, consumes: bool) -> Result<Session, OpenError> {
        let name = format!("{} {purpose}", self.settings.program);
        // No auto-recovery: its retries run out in silence, and its channels outlive their delivery tags.
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        let connection = bounded("connecting", connecting).await?;
        let (condition, ended) = watch_events(&connection);
        let epoch = self.vitals.next_epoch();
        let session = Session {
            connection,
            epoch,
            condition,
            ended,
        };
        if self.declares {
            self.declare(&session, consumes).await?;
        }
        Ok(session)
    }

    /// Declares what this session needs. Queues that are new are waited for before anything is put into
    /// them: see [`Settings::settle_new_queues`].
    async fn declare(&self, session: &Session, consumes: bool) -> Result<(), OpenError> {
        // One at a time, or the second connection would find the first one's queues and take them for old.
        let _turn = self.declaring.lock().await;
        if self.declared.load(Ordering::Relaxed) && !consumes {
            // A queue that an operator has deleted is for whoever consumes it to make again; until then
            // its events wait among the unrouted.
            return declare::topology(session, &self.topology.backbone()).await;
        }
        let fresh = !declare::queues_exist(session, &self.topology).await?;
        declare::topology(session, &self.topology).await?;
        if fresh {
            info!(
                "the queues are new: waiting {:?} until they are safe",
                self.settings.settle_new_queues
            );
            sleep(self.settings.settle_new_queues).await;
        }
        self.declared.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// What a session is for.
pub(super) trait SessionWork {
    /// What kind of connection it is, for the metrics page.
    const CONNECTION: &'static str;

    /// Whether it needs the queues themselves, and not only a way to them.
    const CONSUMES: bool;

    /// Uses a session until it ends or the work does; true when no further session is wanted.
    fn run(&mut self, session: &Session) -> impl Future<Output = bool> + Send;

    /// Runs while no session stands; returns only when no session is wanted any more.
    fn meanwhile(&mut self) -> impl Future<Output = ()> + Send;
}

impl Session {
    pub(super) async fn channel(&self) -> Result<Channel, OpenError> {
        bounded("opening a channel", self.connection.create_channel()).await
    }

    /// Returns when the connection has ended, for whatever reason.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(super) async fn close(&self) {
        let closing = self.connection.close(200, "done".into());
        // A close that fails or times out leaves nothing behind but a socket that the broker drops.
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
}

/// Waits for a step of the protocol, but not for ever.
pub(super) async fn bounded<T>(
    step: &str,
    work: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, OpenError> {
    match timeout(OPEN_TIMEOUT, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(why)) => Err(OpenError::Away(format!("{step}: {why}"))),
        Err(_) => Err(OpenError::Away(format!(
            "{step}: no answer for {OPEN_TIMEOUT:?}"
        ))),
    }
}

fn watch_events(connection: &Connection) -> (watch::Receiver<Condition>, CancellationToken) {
    let mut events = Box::pin(connection.events_listener());
    let (condition, watched) = watch::channel(Condition::Open);
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::ConnectionBlocked(reason) => {
                    warn!("the broker blocks publishers: {reason}");
                    condition.send_replace(Condition::Blocked);
                }
                Event::ConnectionUnblocked => {
                    info!("the broker takes events again");
                    condition.send_replace(Condition::Open);
                }
                // Of one channel: whoever uses that channel is told by its own calls.
                Event::Error(error) if error.is_amqp_soft_error() => {}
                Event::Error(_) => break,
                // Only a connection without confirms needs to heed flow; the rest says nothing new.
                Event::Connected | Event::SendFlow(_) => {}
                // The library may add events; the ones that matter are above.
                _ => {}
            }
        }
        drop(guard);
    });
    (watched, ended)
}
