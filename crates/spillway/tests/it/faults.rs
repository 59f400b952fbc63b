//! A database that is there and refuses: locks, bad deploys, a rotated password, a primary without writes, no
//! connection left, sessions ended in the middle. None of it is an event's fault, so no event may pay for it (I11).

use chaos::books::Books;
use chaos::sender::Flow;
use chaos::system::{Corner, Node, Servers, audit};
use std::time::{Duration, Instant};
use testkit::{Database, Postgres, wait_until};
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: usize = 2;
/// Events accepted before, during and after.
const MORE: usize = 100;

/// The worker's sessions, and nobody else's.
const OURS: &str = "application_name LIKE 'spillway-%' AND pid <> pg_backend_pid()";

/// A worker whose database is this test's to break. It logs in as `app`; the test is somebody else.
struct Bench {
    corner: Corner,
    ingest: Node,
    worker: Node,
    operator: Client,
    database: Database,
    postgres: Postgres,
}

impl Bench {
    async fn start() -> Self {
        let corner = Corner::new().await;
        let postgres = Postgres::start().await.unwrap();
        let database = postgres.database().await.unwrap();
        let operator = database.connect().await.unwrap();
        operator
            .batch_execute("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'first'")
            .await
            .unwrap();
        let servers = Servers {
            ledger: database.url().replace("postgres@", "app:first@"),
            ..corner.servers.clone()
        };
        let (ingest, worker) = (servers.ingest().await, servers.worker().await);
        Self {
            corner,
            ingest,
            worker,
            operator,
            database,
            postgres,
        }
    }

    async fn run(&self, sql: &str) {
        self.operator.batch_execute(sql).await.unwrap();
    }

    async fn faults(&self, class: &str) -> f64 {
        let sample = format!(r#"spillway_ledger_faults_total{{class="{class}"}}"#);
        self.worker.metric(&sample).await
    }

    /// Waits until the worker has met the fault: otherwise nothing was tested.
    async fn is_felt(&self, class: &str) {
        let before = self.faults(class).await;
        wait_until("the worker has met the fault", PATIENCE, async || {
            self.faults(class).await > before
        })
        .await;
    }

    async fn end_sessions(&self) {
        self.run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}"
        ))
        .await;
    }

    fn books(&self) -> Books {
        // By the test's own role, which no fault here touches.
        Books::Postgres(self.database.url().to_owned())
    }
}

/// Events flow before, during and after a fault; then the books are checked.
async fn costs_nobody_anything(name: &str, fault: impl AsyncFnOnce(&Bench, &Flow)) {
    let bench = Bench::start().await;
    let flow = Flow::start(name, vec![bench.ingest.url.clone()], SENDERS);
    flow.go_on(MORE).await;
    fault(&bench, &flow).await;
    flow.go_on(MORE).await;
    audit(&bench.books(), &flow.stop().await).await;
    for queue in ["spillway.payments.dead", "spillway.unrouted"] {
        // The broker counts now and then; until the first time it does not know.
        let count = async || bench.corner.vhost.ready(queue).await.ok();
        assert_eq!(
            wait_until("it is counted", PATIENCE, count).await,
            0,
            "{queue}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_holds_for_a_minute() {
    costs_nobody_anything("locked", async |bench: &Bench, flow: &Flow| {
        let held = Instant::now();
        bench
            .run("BEGIN; LOCK TABLE processed_webhooks IN ACCESS EXCLUSIVE MODE")
            .await;
        bench.is_felt("contention").await;
        flow.go_on(MORE).await;
        wait_until("it was held for long", PATIENCE * 2, async || {
            held.elapsed() > Duration::from_secs(60)
        })
        .await;
        bench.run("COMMIT").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_a_deploy_dropped() {
    costs_nobody_anything("column", async |bench: &Bench, flow: &Flow| {
        bench.run("ALTER TABLE payments DROP COLUMN currency").await;
        bench.is_felt("ours").await;
        flow.go_on(MORE).await;
        bench
            .run("ALTER TABLE payments ADD COLUMN currency text")
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_rotated() {
    costs_nobody_anything("password", async |bench: &Bench, flow: &Flow| {
        let file = bench.operator.query_one("SHOW hba_file", &[]).await;
        let file: String = file.unwrap().get(0);
        let trusting = std::fs::read_to_string(&file).unwrap();
        // First match wins: from now on `app` has to say its password.
        let asking = format!("host all app 127.0.0.1/32 scram-sha-256\n{trusting}");
        std::fs::write(&file, asking).unwrap();
        bench.run("ALTER ROLE app PASSWORD 'second'").await;
        bench.run("SELECT pg_reload_conf()").await;
        bench.end_sessions().await;
        bench.is_felt("ours").await;
        flow.go_on(MORE).await;
        let refused = bench.worker.running.output().contains("28P01");
        assert!(refused, "it was let in without its password");
        bench.run("ALTER ROLE app PASSWORD 'first'").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_takes_no_writes() {
    costs_nobody_anything("readonly", async |bench: &Bench, flow: &Flow| {
        bench
            .run("ALTER SYSTEM SET default_transaction_read_only = on")
            .await;
        bench.run("SELECT pg_reload_conf()").await;
        bench.is_felt("ours").await;
        flow.go_on(MORE).await;
        bench.run("SET default_transaction_read_only = off").await;
        bench
            .run("ALTER SYSTEM RESET default_transaction_read_only")
            .await;
        bench.run("SELECT pg_reload_conf()").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_somebody_else_has_used_up() {
    costs_nobody_anything("connections", async |bench: &Bench, flow: &Flow| {
        let (mut taken, started) = (Vec::new(), Instant::now());
        // What the worker loses it wants back at once: it may win a few times.
        while !bench.worker.running.output().contains("53300") {
            assert!(started.elapsed() < PATIENCE, "the worker always found one");
            bench.end_sessions().await;
            taken.extend(all_connections(bench.postgres.url()).await);
        }
        assert!(bench.faults("ours").await > 0.0);
        flow.go_on(MORE).await;
        drop(taken);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_in_the_middle_of_their_transactions() {
    costs_nobody_anything("ended", async |bench: &Bench, flow: &Flow| {
        let ending_active = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE {OURS} AND state = 'active'"
        );
        let started = Instant::now();
        while bench.faults("ours").await < 8.0 {
            assert!(started.elapsed() < PATIENCE, "no transaction was hit");
            bench.run(&ending_active).await;
        }
        flow.go_on(MORE).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full() {
    costs_nobody_anything("disk", async |bench: &Bench, flow: &Flow| {
        let disk = bench.postgres.small_disk(8).unwrap();
        let folder = disk.display();
        bench
            .run(&format!("CREATE TABLESPACE small LOCATION '{folder}'"))
            .await;
        bench.run("ALTER TABLE payments SET TABLESPACE small").await;
        let filler = disk.join("filler");
        let full = std::fs::write(&filler, vec![0; 16 * 1024 * 1024]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        wait_until("the worker has met it", PATIENCE, async || {
            bench.worker.running.output().contains("53100")
        })
        .await;
        flow.go_on(MORE).await;
        std::fs::remove_file(filler).unwrap();
    })
    .await;
}

/// No rule names what a trigger of somebody's raises: the first events it hits pay for it, until it is clear
/// that it hits them all.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_fault_that_hits_one_event_after_the_other() {
    costs_nobody_anything("unknown", async |bench: &Bench, flow: &Flow| {
        let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
            $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = 'UX001'; END $$; \
            CREATE TRIGGER refuse BEFORE INSERT ON payments EXECUTE FUNCTION refuse()";
        bench.run(refuse).await;
        bench.is_felt("ours").await;
        let since = Instant::now();
        flow.go_on(MORE).await;
        // Longer than five retries of the first events would take, were their attempts spent.
        wait_until("it lasts", PATIENCE * 2, async || {
            since.elapsed() > Duration::from_secs(35)
        })
        .await;
        bench.run("DROP TRIGGER refuse ON payments").await;
        let spent = "SELECT CAST(count(*) AS text) FROM processed_webhooks WHERE attempt > 1";
        wait_until("the first are applied", PATIENCE, async || {
            bench.books().query(spent).await.unwrap() != [["0"]]
        })
        .await;
        let max = "SELECT CAST(max(attempt) AS text) FROM processed_webhooks";
        assert_eq!(bench.books().query(max).await.unwrap(), [["2"]]);
    })
    .await;
}

/// Everything the server still has to give.
async fn all_connections(url: String) -> Vec<Client> {
    let mut taken = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
        tokio::spawn(async { connection.await.ok() });
        taken.push(client);
    }
    taken
}
