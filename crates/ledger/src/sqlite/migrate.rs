//! Brings the schema up to date.

use crate::{StartError, schema};
use refinery::{Migration, Runner};
use rusqlite::Connection;

const MIGRATIONS: [(&str, &str); 5] = [
    (
        "V1__ledger",
        include_str!("../../migrations/sqlite/V1__ledger.sql"),
    ),
    (
        "V2__suspects",
        include_str!("../../migrations/sqlite/V2__suspects.sql"),
    ),
    (
        "V3__copies",
        include_str!("../../migrations/sqlite/V3__copies.sql"),
    ),
    (
        "V4__books",
        include_str!("../../migrations/sqlite/V4__books.sql"),
    ),
    (
        "V5__scaling",
        include_str!("../../migrations/sqlite/V5__scaling.sql"),
    ),
];

/// Migrates, or finds that somebody else just did. Two programs that start at once both try; the one that
/// comes second is refused ("table exists"), and finds the work done when it looks again.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StartError> {
    let runner = schema::runner(&MIGRATIONS);
    schema::is_a_beginning(&applied(connection, &runner)?, runner.get_migrations())?;
    match runner.run(connection) {
        Ok(_) => Ok(()),
        Err(error) => check_with(connection, &runner).map_err(|_| refused(error)),
    }
}

pub(super) fn check(connection: &mut Connection) -> Result<(), StartError> {
    check_with(connection, &schema::runner(&MIGRATIONS))
}

fn check_with(connection: &mut Connection, runner: &Runner) -> Result<(), StartError> {
    schema::is_current(&applied(connection, runner)?, runner.get_migrations())
}

fn applied(connection: &mut Connection, runner: &Runner) -> Result<Vec<Migration>, StartError> {
    let history = connection
        .table_exists(None, schema::HISTORY)
        .map_err(|error| StartError::Unusable(error.to_string()))?;
    if !history {
        return Ok(Vec::new());
    }
    runner.get_applied_migrations(connection).map_err(refused)
}

fn refused(error: refinery::Error) -> StartError {
    StartError::Unusable(format!("its schema cannot be read or migrated: {error}"))
}
