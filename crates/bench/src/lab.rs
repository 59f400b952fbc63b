//! Private servers as in production, and our programs on them.

use anyhow::{Context, Result};
use std::path::PathBuf;
use std::time::Duration;
use testkit::{
    Database, PRODUCTION_SETTINGS, Postgres, Program, RabbitMq, Redis, Running, Vhost, free_port,
    wait_within,
};

/// What senders sign with here.
pub const SECRET: &str = "a secret that only benchmarks know";

/// The servers all rows share.
#[derive(Debug)]
pub struct Lab {
    pub quick: bool,
    pub ceiling: Option<PathBuf>,
    pub rabbitmq: RabbitMq,
    pub postgres: Postgres,
    pub redis: Redis,
}

/// A corner of them for one measurement: empty queues, empty tables.
#[derive(Debug)]
pub struct Corner {
    pub vhost: Vhost,
    pub database: Database,
    recall: String,
    journal: bool,
}

/// A program that is ready.
#[derive(Debug)]
pub struct Node {
    running: Running,
    /// Where events go, where it takes any.
    pub url: String,
    /// Health and metrics.
    pub admin: String,
}

/// The longest start of ours: queues that are new are left alone for five seconds.
const READINESS: Duration = Duration::from_secs(60);
const FAREWELL: Duration = Duration::from_secs(60);

impl Lab {
    pub async fn start(quick: bool, ceiling: Option<PathBuf>) -> Result<Self> {
        println!(
            "starting RabbitMQ, Postgres ({}) and Redis",
            PRODUCTION_SETTINGS.join(", ")
        );
        let (rabbitmq, postgres, redis) = tokio::join!(
            RabbitMq::start_as_in_production(),
            Postgres::start_as_in_production(),
            Redis::start()
        );
        Ok(Self {
            quick,
            ceiling,
            rabbitmq: rabbitmq?,
            postgres: postgres?,
            redis: redis?,
        })
    }

    /// The first, or in a quick run the second.
    pub fn choose<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }

    pub async fn corner(&self, journal: bool) -> Result<Corner> {
        Ok(Corner {
            vhost: self.rabbitmq.vhost().await?,
            database: self.postgres.database().await?,
            recall: self.redis.url(),
            journal,
        })
    }

    /// The servers' processes.
    pub fn servers(&self) -> Vec<(&'static str, u32)> {
        let pids = [
            ("broker", self.rabbitmq.pid()),
            ("Postgres", self.postgres.pid()),
            ("Redis", self.redis.pid()),
        ];
        let there = pids
            .into_iter()
            .filter_map(|(name, pid)| Some((name, pid?)));
        there.collect()
    }
}

impl Corner {
    pub async fn ingest(&self) -> Result<Node> {
        let (public, admin) = (free_port(), free_port());
        let program = self
            .program("spillway-ingest")
            .env("SPILLWAY_INGEST_LISTEN", format!("127.0.0.1:{public}"))
            .env("SPILLWAY_INGEST_ADMIN_LISTEN", format!("127.0.0.1:{admin}"));
        Node::start(&program, public, admin).await
    }

    pub async fn worker(&self) -> Result<Node> {
        let admin = free_port();
        let program = self
            .program("spillway-worker")
            .env("SPILLWAY_WORKER_ADMIN_LISTEN", format!("127.0.0.1:{admin}"));
        Node::start(&program, 0, admin).await
    }

    /// A control server, which deletes what is too old among other things.
    pub async fn control(&self) -> Result<Node> {
        let admin = free_port();
        let program = self
            .program("spillway")
            .args(["control"])
            .env("SPILLWAY_CONTROL_LISTEN", format!("127.0.0.1:{admin}"));
        Node::start(&program, 0, admin).await
    }

    /// Makes the tables, which a worker does when it starts.
    pub async fn migrate(&self) -> Result<()> {
        self.worker().await?.stop().await
    }

    /// One of our programs in this corner.
    pub fn program(&self, name: &str) -> Program {
        Program::new(name)
            .env("SPILLWAY_BROKER_URL", self.vhost.url())
            .env("SPILLWAY_LEDGER_URL", self.database.url())
            .env("SPILLWAY_RECALL_URL", &self.recall)
            .env("SPILLWAY_JOURNAL_ENABLED", self.journal.to_string())
            .env("WEBHOOK_SECRET", SECRET)
            .env("RUST_LOG", "warn")
            // Nobody kills this broker.
            .env("SPILLWAY_BROKER_SETTLE_NEW_QUEUES", "0s")
    }
}

impl Node {
    /// Starts a program and waits until its admin page says it is ready.
    pub async fn start(program: &Program, public: u16, admin: u16) -> Result<Self> {
        let mut node = Self {
            running: program.spawn()?,
            url: format!("http://127.0.0.1:{public}"),
            admin: format!("http://127.0.0.1:{admin}"),
        };
        let url = format!("{}/readyz", node.admin);
        let ready = wait_within(READINESS, async || {
            reqwest::get(&url)
                .await
                .is_ok_and(|answer| answer.status().is_success())
        });
        if ready.await.is_none() {
            node.running.kill()?;
            anyhow::bail!(
                "a program was not ready in {READINESS:?}: {}",
                node.running.output()
            );
        }
        Ok(node)
    }

    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub async fn stop(mut self) -> Result<()> {
        self.running.terminate()?;
        self.running.wait(FAREWELL).await.map(drop)
    }

    /// The sum of a metric's series that have this label.
    pub async fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let page = reqwest::get(format!("{}/metrics", self.admin))
            .await?
            .text()
            .await?;
        let series = page
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        let values: Vec<f64> = values.collect();
        (!values.is_empty())
            .then(|| values.iter().sum())
            .with_context(|| format!("no {name} on the page"))
    }
}
