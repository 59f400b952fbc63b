//! Everything a run breaks: private servers, a proxy on each kind of connection, and our programs.

use crate::books::Books;
use crate::broker::Broker;
use crate::member::Member;
use crate::sender::SECRET;
use crate::system::{KILLABLE, Servers, UNBOUNDED};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use tempfile::TempDir;
use testkit::{Cluster, Database, Postgres, Proxy, RabbitMq, Redis, free_port};
use tokio::sync::Mutex;

/// How many workers there are, the one in the archiver's process aside.
pub const WORKERS: usize = 3;
/// Places in [`Site::members`].
pub const INGEST: usize = 0;
pub const SPOOLER: usize = 1;
pub const FIRST_WORKER: usize = 2;
pub const ARCHIVER: usize = FIRST_WORKER + WORKERS;

#[derive(Debug)]
pub struct Site {
    // Dropped in this order: our programs, the network, the servers.
    pub members: Vec<Mutex<Member>>,
    pub doors: Vec<String>,
    pub links: Links,
    database: Database,
    pub broker: Mutex<Broker>,
    pub redis: Mutex<Redis>,
    pub postgres: Mutex<Postgres>,
    /// Where a program of the inside finds its servers.
    inside: Servers,
    folder: TempDir,
}

/// Event ids, as `spillway reconcile` names them.
#[derive(Debug, Default)]
pub struct Reconciled {
    pub unaccounted: BTreeSet<String>,
    /// With other rows than they should have.
    pub damaged: BTreeSet<String>,
}

/// A proxy for each kind of connection. The archiver is on the workers'.
#[derive(Debug)]
pub struct Links {
    pub ingest_broker: Proxy,
    pub worker_broker: Proxy,
    pub worker_postgres: Proxy,
    pub worker_redis: Proxy,
}

impl Site {
    pub async fn start() -> Result<Self> {
        let broker = RabbitMq::start().await?;
        Self::around(Broker::One(Box::new(broker))).await
    }

    /// The same around a broker of three nodes.
    pub async fn start_with_three_nodes() -> Result<Self> {
        let broker = Cluster::start().await?;
        Self::around(Broker::Three(Box::new(broker))).await
    }

    async fn around(broker: Broker) -> Result<Self> {
        let (redis, postgres) = tokio::join!(Redis::start(), Postgres::start_durable());
        let (redis, postgres) = (redis?, postgres?);
        let urls = broker.urls();
        let database = postgres.database().await?;
        let links = Links {
            ingest_broker: Proxy::before_any(&urls).await?,
            worker_broker: Proxy::before_any(&urls).await?,
            worker_postgres: Proxy::before(database.url()).await?,
            worker_redis: Proxy::before(&redis.url()).await?,
        };
        // Beside the programs, on a disk: the system's temporary folder may lie in memory.
        let beside = std::env::current_exe()?;
        let folder = tempfile::Builder::new()
            .prefix("chaos-")
            .tempdir_in(beside.parent().context("no folder")?)?;
        let (members, doors, inside) = members(&links, &folder);
        let site = Self {
            members,
            doors,
            links,
            database,
            broker: Mutex::new(broker),
            redis: Mutex::new(redis),
            postgres: Mutex::new(postgres),
            inside,
            folder,
        };
        site.open().await?;
        Ok(site)
    }

    /// One ingest first: only whoever declares the queues knows that they are new, and lets them settle.
    async fn open(&self) -> Result<()> {
        self.start_and_wait(INGEST).await?;
        self.start_and_wait(FIRST_WORKER).await?;
        for at in [SPOOLER, FIRST_WORKER + 1, FIRST_WORKER + 2, ARCHIVER] {
            self.start_and_wait(at).await?;
        }
        Ok(())
    }

    async fn start_and_wait(&self, at: usize) -> Result<()> {
        let mut member = self.members[at].lock().await;
        member.start()?;
        member
            .unready()
            .await
            .map_or(Ok(()), |why| Err(anyhow::anyhow!(why)))
    }

    /// The ledger, by a way that no fault of the network touches.
    pub fn books(&self) -> Books {
        Books::Postgres(self.database.url().to_owned())
    }

    /// What `spillway reconcile` says of the events.
    pub async fn reconcile(&self) -> Result<Reconciled> {
        let said = self
            .inside
            .operate(&["reconcile", "--since", "24h", "--json"])
            .await;
        let report: serde_json::Value = said.object()?;
        let names = |list: &str| -> Result<BTreeSet<String>> {
            let events = report[list].as_array().context("a list is missing")?;
            let name = |event: &serde_json::Value| event["event_id"].as_str().map(str::to_owned);
            Ok(events.iter().filter_map(name).collect())
        };
        Ok(Reconciled {
            unaccounted: names("unaccounted")?,
            damaged: names("damaged")?,
        })
    }

    /// A file of nobody's, on the disk that the spool is on.
    pub fn file(&self) -> Result<std::fs::File> {
        Ok(std::fs::File::create(self.folder.path().join("measured"))?)
    }

    pub async fn operator(&self) -> Result<tokio_postgres::Client> {
        self.database.connect().await
    }
}

fn members(links: &Links, folder: &TempDir) -> (Vec<Mutex<Member>>, Vec<String>, Servers) {
    let door = Servers {
        broker: links.ingest_broker.url().to_owned(),
        ledger: links.worker_postgres.url().to_owned(),
        recall: links.worker_redis.url().to_owned(),
        settle: KILLABLE,
        backlog: UNBOUNDED,
    };
    let inside = Servers {
        broker: links.worker_broker.url().to_owned(),
        ..door.clone()
    };
    let ports = [free_port(), free_port()];
    let mut members = vec![
        listening("ingest", &door, "spillway-ingest", &[], Some(ports[0])),
        listening("spooler", &door, "spillway-ingest", &[], Some(ports[1])),
    ];
    let spool = folder.path().join("spool.db");
    let spooler = &mut members[SPOOLER];
    spooler.program = spooler.program.clone().env("SPILLWAY_SPOOL_PATH", spool);
    for name in ["worker 1", "worker 2", "worker 3"] {
        members.push(listening(name, &inside, "spillway-worker", &[], None));
    }
    let data = folder.path().join("archiver").display().to_string();
    let serve = ["serve", "--data-dir", &data];
    members.push(listening(
        "archiver",
        &inside,
        "spillway",
        &serve,
        Some(free_port()),
    ));
    let doors = ports.map(|port| format!("http://127.0.0.1:{port}/webhook"));
    let members = members.into_iter().map(Mutex::new).collect();
    (members, doors.into(), inside)
}

fn listening(
    name: &'static str,
    servers: &Servers,
    program: &str,
    words: &[&str],
    public: Option<u16>,
) -> Member {
    let admin = free_port();
    let mut program = servers
        .program(program)
        .args(words)
        .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
        .env("WEBHOOK_SECRET", SECRET)
        .env("RUST_LOG", "info");
    if let Some(port) = public {
        program = program.args(["--listen", &format!("127.0.0.1:{port}")]);
    }
    Member::new(name, program, admin)
}
