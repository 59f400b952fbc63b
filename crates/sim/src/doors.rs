//! The doors, and the senders before them: ingest's own way to store an event and to drain its spool.

use crate::books::{Books, Place};
use crate::broker::{Latency, Link, Server};
use crate::cast::Role;
use broker::{Pipeline, QueueName, SourceFilter, Spool, Topology};
use ingest::{Backlog, Door, Events, Room, Stored};
use ops::config::{IngestConfig, TlsConfig};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The doors and who sends to them. Cheap to clone.
#[derive(Clone)]
pub struct Doors(Arc<Inner>);

struct Inner {
    books: Arc<Books>,
    broker: Arc<Server>,
    events: Events,
    doors: Mutex<Vec<Open>>,
}

/// A door at work.
struct Open {
    door: Arc<Door>,
    link: Link,
    spool: Option<Spooling>,
    crashed: CancellationToken,
}

struct Spooling {
    /// What survives the door.
    server: Arc<Server>,
    link: Link,
    drain: AbortHandle,
}

impl Doors {
    /// Two doors, with a spool each or none.
    pub fn start(books: Arc<Books>, broker: Arc<Server>, events: Events, has_spool: bool) -> Self {
        let doors = Self(Arc::new(Inner {
            books,
            broker,
            events,
            doors: Mutex::default(),
        }));
        let spool = || {
            has_spool
                .then(|| Server::new(spool_topology(), doors.0.books.clone(), Latency::UpTo(4)))
        };
        let open: Vec<_> = (0..2).map(|_| doors.open(spool())).collect();
        *doors.doors() = open;
        doors
    }

    /// Sends an event until a door accepts it, as a sender does that cares.
    pub fn send(&self, role: Role, time: u32) {
        let doors = self.clone();
        self.0.books.sending(&role.id());
        tokio::spawn(async move {
            while !doors.try_to_send(role, time).await {
                sleep(Duration::from_millis(fastrand::u64(500..3_000))).await;
            }
            doors.0.books.sent(&role.id());
        });
    }

    /// Cuts a door's connection to the broker.
    pub fn cut(&self, number: usize, away: Duration) {
        self.doors()[number].link.cut(away);
    }

    /// Kills a door. What it was asked has no answer, what is in its spool is there for the next one.
    pub fn kill(&self, number: usize) {
        let mut doors = self.doors();
        let open = &mut doors[number];
        open.crashed.cancel();
        open.link.kill();
        let server = open.spool.as_ref().map(|spool| {
            spool.link.kill();
            spool.drain.abort();
            spool.server.clone()
        });
        *open = self.open(server);
    }

    /// How much is on its way to the broker.
    pub fn under_way(&self) -> usize {
        let doors = self.doors();
        let spools = doors.iter().filter_map(|open| open.spool.as_ref());
        let spooled: usize = spools.map(|spool| spool.server.under_way()).sum();
        spooled + self.0.books.senders()
    }

    async fn try_to_send(&self, role: Role, time: u32) -> bool {
        let (door, crashed) = {
            let doors = self.doors();
            let open = &doors[fastrand::usize(..doors.len())];
            (open.door.clone(), open.crashed.clone())
        };
        let envelope = role.envelope(time);
        let stored = tokio::select! {
            biased;
            () = crashed.cancelled() => None,
            stored = door.store_now(envelope.clone()) => stored,
        };
        let place = stored.map(|stored| match stored {
            Stored::Queued(_) => Place::Main,
            Stored::Spooled(_) => Place::Spool,
        });
        self.0.books.answered(&envelope, place);
        place.is_some()
    }

    fn open(&self, spool: Option<Arc<Server>>) -> Open {
        let link = Link::new(self.0.broker.clone(), CancellationToken::new());
        let spool = spool.map(|server| spooling(server, &link));
        let keep = spool
            .as_ref()
            .map(|spool| Spool::over(spool.link.publisher()));
        let bounds = bounds();
        let door = Door {
            sources: Default::default(),
            admission: Default::default(),
            publisher: link.publisher(),
            spool: keep,
            backlog: Backlog::new(watch::channel(None).1, bounds.max_backlog),
            room: Room::new(&bounds),
            bounds,
            events: self.0.events.clone(),
        };
        Open {
            door: Arc::new(door),
            link,
            spool,
            crashed: CancellationToken::new(),
        }
    }

    fn doors(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spooling(server: Arc<Server>, to: &Link) -> Spooling {
    let link = Link::new(server.clone(), CancellationToken::new());
    let consumer = link.consumer(spool_queue(), 32);
    let rate = 100.try_into().expect("it is not zero");
    let draining = ingest::drain_from(consumer, to.publisher(), rate, CancellationToken::new());
    Spooling {
        server,
        link,
        drain: tokio::spawn(draining).abort_handle(),
    }
}

/// The queue of `broker`'s own spool.
fn spool_queue() -> QueueName {
    QueueName::main(&"spool".parse().expect("a name of ours"))
}

fn spool_topology() -> Topology {
    let pipeline = Pipeline {
        name: "spool".parse().expect("a name of ours"),
        sources: SourceFilter::All,
    };
    Topology {
        sources: Vec::new(),
        pipelines: vec![pipeline],
        journal: None,
    }
}

/// The defaults, as far as a door without HTTP reads them.
fn bounds() -> IngestConfig {
    let nowhere = "127.0.0.1:0".parse().expect("an address");
    IngestConfig {
        listen: nowhere,
        admin_listen: nowhere,
        answer_deadline: Duration::from_millis(800),
        body_max_bytes: 1_048_576,
        header_read_timeout: Duration::from_secs(5),
        keep_alive_timeout: Duration::from_secs(75),
        body_read_timeout: Duration::from_secs(10),
        connections_max: 8_192,
        requests_max: 2_048,
        bytes_in_flight_max: 67_108_864,
        max_backlog: 10_000_000,
        answer_write_timeout: Duration::from_secs(10),
        drain_timeout: Duration::from_secs(10),
        trusted_proxies: Vec::new(),
        client_address_header: None,
        tls: TlsConfig {
            certificate: None,
            key: None,
            handshake_timeout: Duration::from_secs(5),
        },
    }
}
