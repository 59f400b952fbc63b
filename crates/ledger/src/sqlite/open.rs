//! How a connection is opened, and what it is set to.

use crate::{LedgerSettings, StartError};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// More statements than we have, so that each is prepared once.
const STATEMENTS: usize = 64;

/// The one that writes.
pub(super) fn read_write(path: &Path, settings: &LedgerSettings) -> Result<Connection, StartError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    open(path, flags, settings, |connection| {
        connection.pragma_update(None, "journal_mode", "wal")?;
        // WAL's default, NORMAL, does not fsync on COMMIT: a power cut would undo what was acked.
        connection.pragma_update(None, "synchronous", "full")
    })
}

/// One that looks, and cannot do otherwise.
pub(super) fn read_only(path: &Path, settings: &LedgerSettings) -> Result<Connection, StartError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, settings, |_| Ok(()))
}

fn open(
    path: &Path,
    flags: OpenFlags,
    settings: &LedgerSettings,
    set: impl Fn(&Connection) -> rusqlite::Result<()>,
) -> Result<Connection, StartError> {
    // No mutex inside SQLite: each connection has one of ours around it.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(settings.lock_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        set(&connection)?;
        Ok(connection)
    });
    opened.map_err(|error| StartError::Unusable(format!("{}: {error}", path.display())))
}
