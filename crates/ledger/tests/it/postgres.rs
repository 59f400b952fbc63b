//! The ledger of a cluster.

use crate::batch::{Deed, Payments, PaymentsThen, event};
use crate::bench::Sql;
use crate::books::books_promises;
use crate::conformance::{APPLIED, DUPLICATE, assert_class, commit, promises};
use crate::letters::letter;
use crate::lost_reply::LostReply;
use envelope::{Envelope, UnixMicros};
use futures_util::FutureExt;
use ledger::{
    Books, Candidate, Handler, Kind, Ledger, LedgerSettings, Payment, PostgresLedger, StartError,
    Transaction,
};
use resilience::{Class, Fault};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::Database;
use tokio_postgres::Client;
use tokio_postgres::types::FromSqlOwned;
use url::Url;

struct Postgres {
    ledger: PostgresLedger,
    client: Client,
    database: Database,
    worker: String,
}

async fn bench() -> Postgres {
    bench_on(database().await, patient()).await
}

/// For tests of what goes wrong.
async fn impatient_bench() -> Postgres {
    bench_on(database().await, impatient()).await
}

async fn database() -> Database {
    let server = testkit::postgres().await.unwrap();
    server.database().await.unwrap()
}

async fn bench_on(database: Database, settings: LedgerSettings) -> Postgres {
    let worker = settings.worker.clone();
    let ledger = connect(database.url(), settings).await;
    ledger.migrate().await.unwrap();
    Postgres {
        ledger,
        client: database.connect().await.unwrap(),
        database,
        worker,
    }
}

async fn connect(url: &str, settings: LedgerSettings) -> PostgresLedger {
    PostgresLedger::connect(url, settings).await.unwrap()
}

/// A worker nobody else is called, so that its sessions can be told from other tests'.
fn patient() -> LedgerSettings {
    LedgerSettings::new(format!("{:016x}", fastrand::u64(..)))
}

/// One connection, so that whatever it was left in shows, and short waits.
fn impatient() -> LedgerSettings {
    LedgerSettings {
        connections: 1,
        connection_wait: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(500),
        lock_timeout: Duration::from_millis(200),
        answer_timeout: Duration::from_secs(1),
        ..patient()
    }
}

impl Postgres {
    async fn only<T: FromSqlOwned>(&self, sql: &str) -> T {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// What would end the ledger's sessions, from another session.
    fn terminate(&self) -> String {
        format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'spillway-{}'",
            self.worker
        )
    }

    async fn open_transactions(&self) -> i64 {
        self.only(&format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE application_name = 'spillway-{}' AND xact_start IS NOT NULL",
            self.worker
        ))
        .await
    }

    async fn payments(&self) -> i64 {
        self.only("SELECT count(*) FROM payments").await
    }
}

impl Sql for Postgres {
    type Ledger = PostgresLedger;

    fn ledger(&self) -> &PostgresLedger {
        &self.ledger
    }

    async fn number(&self, sql: &str) -> i64 {
        let row = self.client.query_one(sql, &[]).await.unwrap();
        row.try_get(0)
            .unwrap_or_else(|_| i64::from(row.get::<_, i32>(0)))
    }

    async fn text(&self, sql: &str) -> String {
        self.only(sql).await
    }

    async fn bytes(&self, sql: &str) -> Vec<u8> {
        self.only(sql).await
    }
}

promises!(bench);
books_promises!(bench);

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_captured_request_are_one_letter_with_a_count() {
    let bench = bench().await;
    crate::conformance::copies_of_a_captured_request_are_one_letter_with_a_count(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_ours_and_the_redelivery_finds_the_row() {
    let bench = bench().await;
    let mut url: Url = bench.database.url().parse().unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let proxy = LostReply::before(server).await;
    url.set_ip_host(proxy.address.ip()).unwrap();
    url.set_port(Some(proxy.address.port())).unwrap();
    let ledger = connect(url.as_str(), impatient()).await;

    proxy.arm();
    let outcome = ledger.commit(&Payments, &[event("a")]).await;
    let told = outcome.as_ref().unwrap_err().to_string();
    assert!(
        told.contains("the outcome of a commit is unknown"),
        "{told}"
    );
    assert_class(outcome, Class::Ours);
    assert!(proxy.has_struck());
    let redelivered = ledger.commit(&Payments, &[event("a")]).await;
    assert_eq!(redelivered, Ok(vec![DUPLICATE]));
    assert_eq!(bench.payments().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_before_commit_is_ours_and_applies_nothing() {
    let bench = impatient_bench().await;
    let (client, terminate) = (bench.database.connect().await, bench.terminate());
    let client = Arc::new(client.unwrap());
    let cut = PaymentsThen(move || {
        let (client, terminate) = (Arc::clone(&client), terminate.clone());
        async move { client.batch_execute(&terminate).await.unwrap() }
    });
    let outcome = bench.ledger.commit(&cut, &[event("a")]).await;
    assert_class(outcome, Class::Ours);
    assert_eq!(bench.payments().await, 0);
    assert_eq!(commit(&bench, &[event("a")]).await, [APPLIED]);
    assert_eq!(bench.payments().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_ended_while_idle_are_not_used_again() {
    let bench = impatient_bench().await;
    commit(&bench, &[event("a")]).await;
    bench.run(&bench.terminate()).await;
    eventually("a new session", async || bench.ledger.ping().await.is_ok()).await;
    assert_eq!(commit(&bench, &[event("a")]).await, [DUPLICATE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_somebody_holds_is_contention() {
    let bench = impatient_bench().await;
    bench
        .run("BEGIN; LOCK TABLE processed_webhooks IN ACCESS EXCLUSIVE MODE")
        .await;
    let outcome = bench.ledger.commit(&Payments, &[event("a")]).await;
    assert_class(outcome, Class::Contention);
    assert_class(bench.ledger.ping().await, Class::Contention);
    bench.run("ROLLBACK").await;
    assert_eq!(commit(&bench, &[event("a")]).await, [APPLIED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_a_fault_of_ours() {
    let database = database().await;
    let ledger = connect(database.url(), impatient()).await;
    assert_class(ledger.commit(&Payments, &[event("a")]).await, Class::Ours);
    assert_class(ledger.ping().await, Class::Ours);
    let told = ledger.check_schema().await.unwrap_err();
    assert!(matches!(told, StartError::Schema(_)), "{told}");
    ledger.migrate().await.unwrap();
    ledger.check_schema().await.unwrap();
    assert_eq!(ledger.ping().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_writes_is_a_fault_of_ours() {
    let database = database().await;
    let url = format!(
        "{}%20-c%20default_transaction_read_only%3Don",
        database.url()
    );
    let ledger = connect(&url, impatient()).await;
    let migrated = ledger.migrate().await.unwrap_err();
    assert!(matches!(migrated, StartError::Away(_)), "{migrated}");
    assert_class(ledger.commit(&Payments, &[event("a")]).await, Class::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_no_error_at_start_and_ours_at_once_afterwards() {
    let url = format!("postgres://u:secret@127.0.0.1:{}/d", testkit::free_port());
    let started = Instant::now();
    let ledger = connect(&url, LedgerSettings::new("w1")).await;
    let outcome = ledger.commit(&Payments, &[event("a")]).await;
    let told = outcome.as_ref().unwrap_err().to_string();
    assert!(
        told.contains("refused") && !told.contains("secret"),
        "{told}"
    );
    assert_class(outcome, Class::Ours);
    let migrated = ledger.migrate().await.unwrap_err();
    assert!(matches!(migrated, StartError::Away(_)), "{migrated}");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_accepts_and_says_nothing_is_ours_within_the_bound() {
    // The kernel accepts for it.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u@{}/d", mute.local_addr().unwrap());
    let ledger = connect(&url, impatient()).await;
    let started = Instant::now();
    assert_class(ledger.ping().await, Class::Ours);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_commit_leaves_no_open_transaction() {
    let bench = impatient_bench().await;
    let stuck = PaymentsThen(std::future::pending::<()>);
    let batch = [event("a")];
    let cancelled = bench.ledger.commit(&stuck, &batch);
    let waited = tokio::time::timeout(Duration::from_millis(100), cancelled).await;
    assert!(waited.is_err());
    // The only connection there may be: were the transaction still open, this would be in it.
    assert_eq!(commit(&bench, &batch).await, [APPLIED]);
    let none_open = async || bench.open_transactions().await == 0;
    eventually("no open transaction", none_open).await;
    assert_eq!(bench.payments().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_never_ends_is_ended() {
    let bench = impatient_bench().await;
    let stuck = PaymentsThen(std::future::pending::<()>);
    let outcome = bench.ledger.commit(&stuck, &[event("a")]).await;
    assert_class(outcome, Class::Ours);
    assert_eq!(commit(&bench, &[event("a")]).await, [APPLIED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_free_connection_is_a_fault_of_ours() {
    let bench = impatient_bench().await;
    let stuck = PaymentsThen(std::future::pending::<()>);
    let batch = [event("a")];
    let first = bench.ledger.commit(&stuck, &batch);
    let (_, second) = tokio::join!(first, bench.ledger.ping());
    assert_class(second, Class::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_is_poison_and_told_without_the_row() {
    let bench = bench().await;
    bench
        .run("ALTER TABLE payments ADD CONSTRAINT small CHECK (amount < 50)")
        .await;
    let outcome = bench.ledger.commit(&Payments, &[event("a")]).await;
    let told = outcome.as_ref().unwrap_err().to_string();
    assert_eq!(
        told,
        "postgres refused: 23514 check_violation on table payments, constraint small"
    );
    assert_class(outcome, Class::Poison);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_missing_may_come_yet() {
    let bench = bench().await;
    bench
        .run(
            "CREATE TABLE parents (id text PRIMARY KEY); \
              ALTER TABLE payments ADD FOREIGN KEY (order_id) REFERENCES parents",
        )
        .await;
    let outcome = bench.ledger.commit(&Payments, &[event("a")]).await;
    assert_class(outcome, Class::Passing);
    bench.run("INSERT INTO parents VALUES ('order-of-a')").await;
    assert_eq!(commit(&bench, &[event("a")]).await, [APPLIED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_leaves_what_somebody_holds_for_the_next_time() {
    let bench = impatient_bench().await;
    let (held, free) = (event("held"), event("free"));
    commit(&bench, &[held.clone(), free.clone()]).await;
    let letters = [letter(&held, 0), letter(&free, 0)];
    bench.ledger.archive(&letters).await.unwrap();
    for table in ["processed_webhooks", "dead_letters"] {
        let hold = format!("BEGIN; SELECT FROM {table} WHERE event_id = 'held' FOR UPDATE");
        bench.run(&hold).await;
        let kind = match table {
            "dead_letters" => Kind::Letters,
            _ => Kind::Processed,
        };
        let forget = async || bench.ledger.forget(kind, UnixMicros(i64::MAX), 10).await;
        assert_eq!(forget().await, Ok(1), "{table}");
        bench.run("ROLLBACK").await;
        assert_eq!(forget().await, Ok(1), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_may_migrate_at_once() {
    let database = database().await;
    let migrating = (0..8).map(|_| {
        let url = database.url().to_owned();
        tokio::spawn(async move { connect(&url, patient()).await.migrate().await })
    });
    for migrated in migrating.collect::<Vec<_>>() {
        migrated.await.unwrap().unwrap();
    }
    let bench = bench_on(database, patient()).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let migrations = std::fs::read_dir(folder).unwrap().count() as i64;
    let sql = "SELECT count(*) FROM spillway_schema_history";
    let entries: i64 = bench.only(sql).await;
    assert_eq!(entries, migrations, "one entry per migration");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_in_one_sentence() {
    let bench = bench().await;
    bench
        .run(
            "INSERT INTO spillway_schema_history \
              SELECT 99, name, applied_on, checksum FROM spillway_schema_history LIMIT 1",
        )
        .await;
    let refused = bench.ledger.migrate().await.unwrap_err();
    assert!(matches!(refused, StartError::Schema(_)), "{refused}");
    assert!(refused.to_string().contains("it is at version 99"));
}

/// Appends a payment no text column of Postgres takes, and does not mind.
struct Careless {
    /// Goes on without waiting for the answer.
    impatient: bool,
}

impl Handler for Careless {
    type Effect = Deed;

    fn decode(&self, envelope: &Envelope) -> Result<Deed, Fault> {
        Payments.decode(envelope)
    }

    async fn apply<T: Transaction>(
        &self,
        transaction: &mut T,
        inserted: &[&Candidate<Deed>],
    ) -> Result<(), Fault> {
        let refused = [Payment {
            event_id: inserted[0].event_id.clone(),
            source: inserted[0].source.clone(),
            order_id: "nul\0byte".into(),
            amount: 1,
            currency: None,
            status: "paid".into(),
            occurred_at: None,
        }];
        let appended = transaction.append_payments(&refused);
        if self.impatient {
            // Sent; the answer is on its way, or just a moment too early.
            drop(appended.now_or_never());
        } else {
            let _ = appended.await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_keeps_a_failure_to_itself_applies_nothing() {
    let bench = impatient_bench().await;
    let careless = Careless { impatient: false };
    let outcome = bench.ledger.commit(&careless, &[event("a")]).await;
    assert_class(outcome, Class::Poison);
    assert_eq!(commit(&bench, &[event("a")]).await, [APPLIED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_nobody_waited_for_is_no_proof() {
    let bench = impatient_bench().await;
    // From here on the statement is prepared, and sent as soon as it is asked for.
    commit(&bench, &[event("warm")]).await;
    let careless = Careless { impatient: true };
    let outcome = bench.ledger.commit(&careless, &[event("a")]).await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(commit(&bench, &[event("a")]).await, [APPLIED]);
}

/// A server of our own, to break.
async fn private_bench(settings: LedgerSettings) -> (testkit::Postgres, Postgres) {
    let server = testkit::Postgres::start().await.unwrap();
    let database = server.database().await.unwrap();
    (server, bench_on(database, settings).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_demoted_is_ours_and_its_connections_are_not_kept() {
    let (_server, bench) = private_bench(impatient()).await;
    commit(&bench, &[event("a")]).await;
    bench
        .run("ALTER SYSTEM SET default_transaction_read_only = on")
        .await;
    bench.run("SELECT pg_reload_conf()").await;
    let refused = async || bench.ledger.commit(&Payments, &[event("b")]).await.is_err();
    eventually("a refusal", refused).await;
    assert_class(
        bench.ledger.commit(&Payments, &[event("b")]).await,
        Class::Ours,
    );

    bench.run("SET default_transaction_read_only = off").await;
    bench
        .run("ALTER SYSTEM RESET default_transaction_read_only")
        .await;
    bench.run("SELECT pg_reload_conf()").await;
    let accepted = async || bench.ledger.commit(&Payments, &[event("b")]).await.is_ok();
    eventually("a commit", accepted).await;
    assert_eq!(bench.payments().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_killed_is_ours_until_it_is_back() {
    let (mut server, bench) = private_bench(impatient()).await;
    commit(&bench, &[event("a")]).await;
    server.kill().unwrap();
    assert_class(
        bench.ledger.commit(&Payments, &[event("b")]).await,
        Class::Ours,
    );
    restart(&mut server).await;
    let back = async || bench.ledger.ping().await.is_ok();
    eventually("an answer", back).await;
    let verdicts = commit(&bench, &[event("a"), event("b")]).await;
    assert_eq!(verdicts, [DUPLICATE, APPLIED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_freezes_in_the_middle_is_ours_within_the_bound() {
    let (mut server, bench) = private_bench(impatient()).await;
    commit(&bench, &[event("a")]).await;
    server.freeze().unwrap();
    let started = Instant::now();
    assert_class(
        bench.ledger.commit(&Payments, &[event("b")]).await,
        Class::Ours,
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    server.thaw().unwrap();
    let back = async || bench.ledger.commit(&Payments, &[event("b")]).await.is_ok();
    eventually("a commit", back).await;
    assert_eq!(bench.payments().await, 2);
}

/// Postgres refuses to start while a backend that was killed still holds its memory, which may take a
/// busy machine a moment.
async fn restart(server: &mut testkit::Postgres) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = server.restart().await {
        assert!(Instant::now() < deadline, "{error:#}");
    }
}

/// Waits for a state, for as long as anything in these tests may take.
async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl FnMut() -> F) {
    testkit::wait_until(what, Duration::from_secs(10), holds).await;
}
