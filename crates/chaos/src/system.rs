//! The systems under test: everything embedded in one process, or programs around real servers.

use crate::books::Books;
use crate::sender::{Answers, SECRET, client};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use testkit::{Database, Program, Running, Vhost, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// A program of ours that listens.
#[derive(Debug)]
pub struct Node {
    pub running: Running,
    program: Program,
    /// Its health and metrics, `http://…`.
    pub admin: String,
    /// Where its webhooks arrive, where they do.
    pub url: String,
}

impl Node {
    async fn start(program: Program, public: u16, admin: u16) -> Self {
        let program = program.env("WEBHOOK_SECRET", SECRET);
        let running = program.spawn().unwrap();
        let admin = format!("http://127.0.0.1:{admin}");
        let node = Self {
            running,
            program,
            admin,
            url: format!("http://127.0.0.1:{public}/webhook"),
        };
        node.ready().await;
        node
    }

    /// An ingest, on free ports.
    pub async fn door(program: Program) -> Self {
        let (public, admin) = (free_port(), free_port());
        let program = program
            .args(["--listen", &format!("127.0.0.1:{public}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")]);
        Self::start(program, public, admin).await
    }

    /// A worker, on a free port.
    pub async fn worker(program: Program) -> Self {
        let admin = free_port();
        let program = program.args(["--admin-listen", &format!("127.0.0.1:{admin}")]);
        Self::start(program, 0, admin).await
    }

    pub async fn ready(&self) {
        wait_until("the program is ready", PATIENCE, async || {
            self.is_ready().await
        })
        .await;
    }

    pub async fn is_ready(&self) -> bool {
        let answer = client().get(format!("{}/readyz", self.admin)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// `host:port` of its admin pages.
    pub fn admin(&self) -> &str {
        self.admin.trim_start_matches("http://")
    }

    pub async fn metrics(&self) -> String {
        self.page("/metrics").await
    }

    /// A page of its admin port.
    pub async fn page(&self, path: &str) -> String {
        let page = client().get(format!("{}{path}", self.admin)).send().await;
        page.unwrap().text().await.unwrap()
    }

    /// The value of one sample, by its line's beginning.
    pub async fn metric(&self, sample: &str) -> f64 {
        let page = self.metrics().await;
        let line = page.lines().find(|line| line.starts_with(sample));
        let line = line.unwrap_or_else(|| panic!("no sample {sample} in\n{page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// `kill -9`, and the same program again.
    pub async fn kill_and_restart(&mut self) {
        self.running.kill().unwrap();
        self.running = self.program.spawn().unwrap();
        self.ready().await;
    }

    /// The same program again if it has ended by itself; true where it had. It is not waited for: what
    /// ended it may end it again at once.
    pub async fn restart_if_dead(&mut self) -> bool {
        let dead = self.running.wait(Duration::from_millis(50)).await.is_ok();
        if dead {
            self.running = self.program.spawn().unwrap();
        }
        dead
    }

    pub async fn terminate(&mut self) {
        self.running.terminate().unwrap();
        let status = self.running.wait(Duration::from_secs(30)).await.unwrap();
        assert!(status.success(), "{status}\n{}", self.running.output());
    }
}

/// `spillway serve` on a folder.
pub async fn serve(folder: &Path) -> (Node, Books) {
    serve_with(folder, "RUST_LOG", "info").await
}

/// The same with one more variable in its environment.
pub async fn serve_with(folder: &Path, variable: &str, value: &str) -> (Node, Books) {
    let (public, admin) = (free_port(), free_port());
    let program = Program::new("spillway")
        .args(["serve", "--listen", &format!("127.0.0.1:{public}")])
        .args([
            "--admin-listen",
            &format!("127.0.0.1:{admin}"),
            "--data-dir",
        ])
        .arg(folder)
        .env("RUST_LOG", "info")
        .env(variable, value);
    let node = Node::start(program, public, admin).await;
    (node, Books::Sqlite(folder.join("ledger.db")))
}

/// The default of the programs.
pub const KILLABLE: &str = "5s";
/// For a broker that nobody kills.
pub const AT_ONCE: &str = "0s";
/// The default of the programs: more than any test sends.
pub const UNBOUNDED: &str = "10000000";

/// The URLs of the servers a cluster runs on.
#[derive(Clone, Debug)]
pub struct Servers {
    pub broker: String,
    pub ledger: String,
    pub recall: String,
    /// How long new queues are waited for; `KILLABLE` where the broker is killed.
    pub settle: &'static str,
    /// Above which depth the door refuses.
    pub backlog: &'static str,
}

impl Servers {
    pub async fn ingest(&self) -> Node {
        self.ingest_with("RUST_LOG", "info").await
    }

    /// An ingest with one more variable in its environment.
    pub async fn ingest_with(&self, variable: &str, value: &str) -> Node {
        Node::door(self.program("spillway-ingest").env(variable, value)).await
    }

    pub async fn worker(&self) -> Node {
        self.worker_with("RUST_LOG", "info").await
    }

    /// A worker with one more variable in its environment.
    pub async fn worker_with(&self, variable: &str, value: &str) -> Node {
        Node::worker(self.program("spillway-worker").env(variable, value)).await
    }

    /// `spillway control`, which keeps the books.
    pub async fn control(&self) -> Node {
        self.control_with(&[]).await
    }

    /// The same with more variables in its environment.
    pub async fn control_with(&self, variables: &[(&str, &str)]) -> Node {
        let admin = free_port();
        let mut program = self
            .program("spillway")
            .args(["control", "--listen", &format!("127.0.0.1:{admin}")])
            .env("SPILLWAY_RECONCILE_EVERY", "1s");
        for (variable, value) in variables {
            program = program.env(variable, value);
        }
        Node::start(program, 0, admin).await
    }

    /// `spillway fleet`, with more variables in its environment and in that of its workers.
    pub async fn fleet(&self, targets: &Path, max: u32, variables: &[(&str, &str)]) -> Node {
        let admin = free_port();
        let mut program = self
            .program("spillway")
            .args(["fleet", "--max", &max.to_string()])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
            .arg("--targets")
            .arg(targets);
        for (variable, value) in variables {
            program = program.env(variable, value);
        }
        Node::start(program, 0, admin).await
    }

    /// `spillway serve` on these servers: with its archiver, which a cluster has in `control`.
    pub async fn archiver(&self, folder: &Path) -> Node {
        self.archiver_with(folder, "RUST_LOG", "info").await
    }

    /// The same with one more variable in its environment.
    pub async fn archiver_with(&self, folder: &Path, variable: &str, value: &str) -> Node {
        let (public, admin) = (free_port(), free_port());
        let program = self
            .program("spillway")
            .args(["serve", "--listen", &format!("127.0.0.1:{public}")])
            .args([
                "--admin-listen",
                &format!("127.0.0.1:{admin}"),
                "--data-dir",
            ])
            .arg(folder)
            .env(variable, value);
        Node::start(program, public, admin).await
    }

    /// One of our programs on these servers.
    pub fn program(&self, name: &str) -> Program {
        Program::new(name)
            .env("RUST_LOG", "info")
            .env("SPILLWAY_BROKER_URL", &self.broker)
            .env("SPILLWAY_LEDGER_URL", &self.ledger)
            .env("SPILLWAY_RECALL_URL", &self.recall)
            .env("SPILLWAY_BROKER_SETTLE_NEW_QUEUES", self.settle)
            .env("SPILLWAY_INGEST_MAX_BACKLOG", self.backlog)
    }

    pub fn books(&self) -> Books {
        Books::Postgres(self.ledger.clone())
    }
}

/// A corner of the shared servers.
#[derive(Debug)]
pub struct Corner {
    pub servers: Servers,
    pub vhost: Vhost,
    pub database: Database,
}

impl Corner {
    pub async fn new() -> Self {
        let vhost = testkit::rabbitmq().await.unwrap().vhost().await.unwrap();
        let database = testkit::postgres().await.unwrap().database().await.unwrap();
        let recall = testkit::redis().await.unwrap().url().to_owned();
        let servers = Servers {
            broker: vhost.url().to_owned(),
            ledger: database.url().to_owned(),
            recall,
            settle: AT_ONCE,
            backlog: UNBOUNDED,
        };
        Self {
            servers,
            vhost,
            database,
        }
    }
}

/// Jepsen's questions: is anything lost, doubled, or there without having been sent?
pub async fn audit(books: &Books, answers: &Answers) {
    assert!(
        answers.surprising.is_empty(),
        "answered neither 200 nor 503: {:?}",
        answers.surprising
    );
    assert!(
        !answers.accepted.is_empty(),
        "nothing was accepted, so nothing was tested"
    );
    let complete = testkit::wait_within(PATIENCE, async || {
        let applied = books.payments().await;
        answers.accepted.iter().all(|id| applied.contains_key(id))
    });
    let complete = complete.await.is_some();
    let (applied, witness) = at_rest(books).await;
    let lost: Vec<_> = answers
        .accepted
        .iter()
        .filter(|id| !applied.contains_key(*id))
        .collect();
    assert!(
        complete && lost.is_empty(),
        "lost {} of {}: {lost:?}",
        lost.len(),
        answers.accepted.len()
    );
    let double: Vec<_> = applied.iter().filter(|(_, times)| **times > 1).collect();
    assert!(double.is_empty(), "applied more than once: {double:?}");
    let unexpected: Vec<_> = applied
        .keys()
        .filter(|id| !answers.sent.contains(*id))
        .collect();
    assert!(
        unexpected.is_empty(),
        "applied and never sent: {unexpected:?}"
    );
    assert_eq!(
        witness,
        [[applied.len().to_string(), (7 * applied.len()).to_string()]]
    );
    assert!(books.dead().await.is_empty(), "a healthy event is dead");
    let recovered = applied.len() - answers.accepted.len();
    println!(
        "sent {}, accepted {}, recovered {recovered}, lost 0, doubled 0",
        answers.sent.len(),
        answers.accepted.len()
    );
}

/// The payments, and what the orders say of them.
///
/// Two statements see two moments. An event whose sender did not wait for the answer may be applied between them, so
/// they are asked until no payment has come meanwhile.
async fn at_rest(books: &Books) -> (BTreeMap<String, usize>, Vec<Vec<String>>) {
    let orders =
        "SELECT CAST(sum(applied_events) AS text), CAST(sum(amount_total) AS text) FROM orders";
    let mut applied = books.payments().await;
    loop {
        let witness = books.query(orders).await.unwrap();
        let now = books.payments().await;
        if now == applied {
            return (applied, witness);
        }
        applied = now;
    }
}
