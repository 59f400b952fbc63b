//! Whether a database's schema is this program's.

use crate::StartError;
use refinery::{Migration, Runner};

/// Where the applied migrations are written down.
pub(crate) const HISTORY: &str = "spillway_schema_history";

/// Runs these migrations: all that are missing in one transaction, together with their entries in the
/// history. Ungrouped, the SQLite driver commits a migration and its entry apart.
pub(crate) fn runner(migrations: &[(&str, &str)]) -> Runner {
    let migrations: Vec<Migration> = migrations
        .iter()
        .map(|(name, sql)| {
            Migration::unapplied(name, sql).expect("our file names are of the form V1__name")
        })
        .collect();
    let mut runner = Runner::new(&migrations).set_grouped(true);
    runner.set_migration_table_name(HISTORY);
    runner
}

/// Whether what has been applied is where `known` begins. Then the rest may be applied.
pub(crate) fn is_a_beginning(applied: &[Migration], known: &[Migration]) -> Result<(), StartError> {
    for migration in applied {
        let version = migration.version();
        match known.iter().find(|known| known.version() == version) {
            None => return Err(newer(version, known)),
            Some(known) if known.checksum() != migration.checksum() => return Err(other(version)),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Whether what has been applied is all of `known` and nothing else.
pub(crate) fn is_current(applied: &[Migration], known: &[Migration]) -> Result<(), StartError> {
    is_a_beginning(applied, known)?;
    let (have, need) = (latest(applied), latest(known));
    if have == need {
        return Ok(());
    }
    Err(StartError::Schema(format!(
        "it is at version {have} and this program needs version {need}: start a worker, or \
         `spillway serve`, of this version once, which migrates it"
    )))
}

fn newer(version: i32, known: &[Migration]) -> StartError {
    let latest = latest(known);
    StartError::Schema(format!(
        "it is at version {version} and this program knows no version after {latest}: run the release \
         that migrated it, or a later one"
    ))
}

fn other(version: i32) -> StartError {
    StartError::Schema(format!(
        "its version {version} was made from another file than this program's: it belongs to another \
         program, or a migration was changed after its release"
    ))
}

fn latest(migrations: &[Migration]) -> i32 {
    migrations.iter().map(Migration::version).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrations(list: &[(&str, &str)]) -> Vec<Migration> {
        runner(list).get_migrations().clone()
    }

    #[test]
    fn an_older_schema_may_be_migrated_and_a_newer_or_foreign_one_is_refused() {
        let both = migrations(&[("V1__a", "a"), ("V2__b", "b")]);
        let first = migrations(&[("V1__a", "a")]);
        let changed = migrations(&[("V1__a", "changed")]);
        assert!(is_a_beginning(&[], &both).is_ok());
        assert!(is_a_beginning(&first, &both).is_ok());
        assert!(is_a_beginning(&both, &first).is_err());
        assert!(is_a_beginning(&changed, &both).is_err());
    }

    #[test]
    fn an_older_schema_says_what_to_do() {
        let both = migrations(&[("V1__a", "a"), ("V2__b", "b")]);
        let first = migrations(&[("V1__a", "a")]);
        assert!(is_current(&both, &both).is_ok());
        let told = is_current(&first, &both).unwrap_err().to_string();
        assert!(told.contains("at version 1 and this program needs version 2"));
    }
}
