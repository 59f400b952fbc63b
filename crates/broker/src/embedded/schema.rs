//! The file itself: how it is opened, and which schema it has.

use super::store::ChangeError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// The schema this program writes.
const VERSION: i32 = 1;

/// "SPLW": tells our file from any other SQLite database.
const APPLICATION_ID: i32 = 0x5350_4c57;

/// How long we wait for another process's write. Its transactions are one row long; a publish has 800 ms
/// in all, and after that its sender would not see the verdict.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// 64 MB: the pages that a burst touches, kept out of the way of the file system.
const CACHE_KIB: i32 = 65_536;

/// The log is written back after 16 MB: four times the default, since each time costs two fsyncs in the
/// middle of the traffic. It is also what a restart reads at most.
const CHECKPOINT_PAGES: i32 = 4_000;

/// Why a file cannot be our broker's.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("a newer Spillway wrote it (schema {0}; this one knows {VERSION}): start that one")]
    Newer(i32),
    #[error("it is another program's database")]
    NotOurs,
    #[error("its file system has no write-ahead log (journal mode is {0}): use a local disk")]
    NoWal(String),
}

/// Opens the file for writing, creating it if it is not there.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let mut db = Connection::open(path)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWal(mode));
    }
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // The bundled library's default, said aloud: no body is erased while something refers to it.
    db.pragma_update(None, "foreign_keys", true)?;
    db.set_prepared_statement_cache_capacity(64);
    migrate(&mut db)?;
    Ok(db)
}

/// Opens the file for looking at it.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    Ok(db)
}

fn migrate(db: &mut Connection) -> Result<(), OpenError> {
    // Immediate: of two programs that find an empty file, one makes the schema.
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let owner: i32 = change.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let empty = change.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
        row.get(0)
    })?;
    match (owner, version) {
        (0, 0) if empty => {
            change.execute_batch(include_str!("schema.sql"))?;
            change.pragma_update(None, "application_id", APPLICATION_ID)?;
            change.pragma_update(None, "user_version", VERSION)?;
        }
        (APPLICATION_ID, VERSION) => {}
        (APPLICATION_ID, newer) => return Err(OpenError::Newer(newer)),
        (_, _) => return Err(OpenError::NotOurs),
    }
    change.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(prepare: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broker.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch(prepare)
            .unwrap();
        open(&path).unwrap_err().to_string()
    }

    #[test]
    fn a_newer_schema_and_another_programs_file_are_refused() {
        let newer = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2");
        assert!(refusal(&newer).contains("schema 2"));
        assert!(refusal("CREATE TABLE t (x)").contains("another program"));
    }

    #[test]
    fn a_file_is_opened_again_as_it_was_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broker.db");
        drop(open(&path).unwrap());
        assert!(open(&path).is_ok());
    }
}
