//! The ledger of one machine.

use crate::batch::{Payments, PaymentsThen, event};
use crate::bench::Sql;
use crate::books::books_promises;
use crate::conformance::{APPLIED, DUPLICATE, assert_class, commit, promises};
use crate::letters::letter;
use envelope::UnixMicros;
use ledger::{
    Books, Found, Kind, Ledger, LedgerSettings, LetterFilter, Mark, SqliteLedger, StartError,
    Window,
};
use resilience::Class;
use rusqlite::Connection;
use std::path::PathBuf;
use std::time::Duration;

struct Sqlite {
    ledger: SqliteLedger,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

async fn bench() -> Sqlite {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    Sqlite {
        ledger: SqliteLedger::open(&path, &settings()).unwrap(),
        path,
        _folder: folder,
    }
}

fn settings() -> LedgerSettings {
    LedgerSettings {
        lock_timeout: Duration::from_millis(200),
        ..LedgerSettings::new("w1")
    }
}

impl Sqlite {
    fn connection(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }
}

impl Sql for Sqlite {
    type Ledger = SqliteLedger;

    fn ledger(&self) -> &SqliteLedger {
        &self.ledger
    }

    async fn number(&self, sql: &str) -> i64 {
        self.connection()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    }

    async fn text(&self, sql: &str) -> String {
        self.connection()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    }

    async fn bytes(&self, sql: &str) -> Vec<u8> {
        self.connection()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
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
async fn somebody_elses_lock_is_contention() {
    let bench = bench().await;
    let other = bench.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let outcome = bench.ledger.commit(&Payments, &[event("a")]).await;
    assert_class(outcome, Class::Contention);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(commit(&bench, &[event("a")]).await, [APPLIED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_a_fault_of_ours() {
    let bench = bench().await;
    bench
        .connection()
        .execute_batch("DROP TABLE payments")
        .unwrap();
    let outcome = bench.ledger.commit(&Payments, &[event("a")]).await;
    assert_class(outcome, Class::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_commit_leaves_no_open_transaction() {
    let bench = bench().await;
    let stuck = PaymentsThen(std::future::pending::<()>);
    let batch = [event("a")];
    let cancelled = bench.ledger.commit(&stuck, &batch);
    let waited = tokio::time::timeout(Duration::from_millis(50), cancelled).await;
    assert!(waited.is_err());
    assert_eq!(bench.number("SELECT count(*) FROM payments").await, 0);
    assert_eq!(commit(&bench, &batch).await, [APPLIED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_looks_up_beside_a_running_one_and_after_it() {
    let bench = bench().await;
    let applied = event("a");
    commit(&bench, std::slice::from_ref(&applied)).await;
    let beside = SqliteLedger::open_read_only(&bench.path, &settings()).unwrap();
    let found = beside.look_up(&applied.pipeline, applied.key).await;
    assert!(
        matches!(found, Ok(Some(Found::Applied { .. }))),
        "{found:?}"
    );
    let refused = beside.commit(&Payments, &[event("b")]).await;
    assert_class(refused, Class::Ours);

    let Sqlite {
        ledger,
        path,
        _folder,
    } = bench;
    drop((ledger, beside));
    let after = SqliteLedger::open_read_only(&path, &settings()).unwrap();
    let found = after.look_up(&applied.pipeline, applied.key).await;
    assert!(
        matches!(found, Ok(Some(Found::Applied { .. }))),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_are_read_beside_a_program_that_writes_and_changed_by_none_that_reads() {
    let bench = bench().await;
    let (applied, dead) = (event("a"), event("d"));
    commit(&bench, std::slice::from_ref(&applied)).await;
    bench.ledger.archive(&[letter(&dead, 0)]).await.unwrap();
    let other = bench.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let beside = SqliteLedger::open_read_only(&bench.path, &settings()).unwrap();
    let (filter, names) = (
        LetterFilter::default(),
        [(applied.source, applied.event_id)],
    );
    let letters = beside.letters(&filter, None, 10).await.unwrap();
    let id = letters[0].id.clone();
    let window = Window {
        from: UnixMicros(0),
        until: UnixMicros(i64::MAX),
    };
    let pipelines = [applied.pipeline];
    assert_eq!(beside.count_letters(&filter).await, Ok(1));
    assert_eq!(beside.dead_by_class().await.unwrap().len(), 1);
    assert!(beside.letter(&id).await.unwrap().is_some());
    let accounts = beside.accounts(&[applied.key]).await.unwrap();
    assert!(accounts[0].applied.is_some());
    assert_eq!(beside.effects(&names).await, Ok(vec![1]));
    let window_read = beside.applied_between(window, None, 10).await;
    assert_eq!(window_read.unwrap().len(), 1);
    let doubled = beside.doubled_payments(&pipelines, 10).await;
    assert_eq!(doubled, Ok(vec![]));
    let orphans = beside.payments_without_row(&pipelines, UnixMicros(0), 10);
    assert_eq!(orphans.await, Ok(vec![]));
    assert_eq!(beside.same_body_other_id(window, 10).await, Ok(vec![]));

    other.execute_batch("ROLLBACK").unwrap();
    let marks = [(id, 0)];
    let marked = beside.mark(&marks, Mark::Discarded, "ada", UnixMicros(0));
    assert_class(marked.await, Class::Ours);
    let forgotten = beside.forget(Kind::Letters, UnixMicros(i64::MAX), 10).await;
    assert_class(forgotten, Class::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_after_a_restart() {
    let bench = bench().await;
    commit(&bench, &[event("a")]).await;
    let Sqlite {
        ledger,
        path,
        _folder,
    } = bench;
    drop(ledger);
    let ledger = SqliteLedger::open(&path, &settings()).unwrap();
    let verdicts = ledger.commit(&Payments, &[event("a")]).await;
    assert_eq!(verdicts, Ok(vec![DUPLICATE]));
}

#[test]
fn many_programs_may_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let open = || SqliteLedger::open(&path, &LedgerSettings::new("w")).map(drop);
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        for outcome in opened {
            outcome.join().unwrap().unwrap();
        }
    });
}

#[tokio::test]
async fn a_runtime_with_one_thread_will_do() {
    let bench = bench().await;
    assert_eq!(commit(&bench, &[event("a")]).await, [APPLIED]);
    assert_eq!(bench.ledger.ping().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_in_one_sentence() {
    let bench = bench().await;
    let newer = "INSERT INTO spillway_schema_history \
                 SELECT 99, name, applied_on, checksum FROM spillway_schema_history LIMIT 1";
    bench.connection().execute_batch(newer).unwrap();
    let refused = SqliteLedger::open(&bench.path, &settings()).unwrap_err();
    assert!(matches!(refused, StartError::Schema(_)), "{refused}");
    assert!(refused.to_string().contains("it is at version 99"));
}

#[test]
fn a_file_that_is_not_there_is_not_made_by_looking() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let refused = SqliteLedger::open_read_only(&path, &settings()).unwrap_err();
    assert!(matches!(refused, StartError::Unusable(_)), "{refused}");
    assert!(!path.exists());
}
