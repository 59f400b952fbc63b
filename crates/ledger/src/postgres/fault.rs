//! Reads faults off SQLSTATEs: the disposition table of the design, first match from the top.
//!
//! No text here ever holds row data (I9). The server's `detail` always may, its primary message often does
//! (`invalid input syntax for type bigint: "…"`), so a fault names the code and the names of our own
//! things, and quotes the message only for codes where it cannot be about a row.

use crate::unknown_outcome;
use deadpool_postgres::{PoolError, TimeoutType};
use resilience::{Class, Fault, Reason};
use std::fmt::Write;
use std::io;
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

/// Whose fault a SQLSTATE is (<https://www.postgresql.org/docs/15/errcodes-appendix.html>); nothing where
/// no rule names it.
fn class(sqlstate: &str) -> Option<Class> {
    const OURS: [&str; 14] = [
        "08", "53", "57P", "58", "25", "28", "3D", "3F", "42", "0A", "26", "55000", "XX", "40003",
    ];
    const CONTENTION: [&str; 4] = ["40001", "40P01", "55P03", "57014"];
    // A child that came before its parent: the parent may come yet.
    const PASSING: [&str; 1] = ["23503"];
    const POISON: [&str; 4] = ["22", "21000", "23", "54"];

    let is_among = |codes: &[&str]| codes.iter().any(|code| sqlstate.starts_with(code));
    if is_among(&OURS) {
        Some(Class::Ours)
    } else if is_among(&CONTENTION) {
        Some(Class::Contention)
    } else if is_among(&PASSING) {
        Some(Class::Passing)
    } else if is_among(&POISON) {
        Some(Class::Poison)
    } else {
        None
    }
}

/// A statement failed.
pub(super) fn of(error: &Error) -> Fault {
    match error.as_db_error() {
        Some(refusal) => of_refusal(refusal),
        // Everything else is the connection's or the driver's, never an event's.
        None => Fault::ours(format!("postgres: {}", without_rows(error))),
    }
}

/// COMMIT failed. With an answer it was refused; without one nobody knows, and only the redelivery finds
/// out (I2).
pub(super) fn of_commit(error: &Error) -> Fault {
    match error.as_db_error() {
        Some(refusal) => of_refusal(refusal),
        None => unknown_outcome(format_args!("postgres: {}", without_rows(error))),
    }
}

/// No connection could be made: a fault of ours whatever the code, since no event is involved yet.
pub(super) fn of_connect(error: &Error) -> Fault {
    let told = error
        .as_db_error()
        .map_or_else(|| without_rows(error), described);
    Fault::ours(format!("postgres cannot be reached: {told}"))
}

/// No connection could be had.
pub(super) fn of_pool(error: PoolError) -> Fault {
    match error {
        PoolError::Backend(error) => of_connect(&error),
        PoolError::Timeout(TimeoutType::Wait) => {
            Fault::ours("postgres: all connections of the pool are in use")
        }
        PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
            Fault::ours("postgres cannot be reached: it accepts connections and does not answer")
        }
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            Fault::ours("postgres: the pool is not in use")
        }
    }
}

fn of_refusal(refusal: &DbError) -> Fault {
    let message = format!("postgres refused: {}", described(refusal));
    let code = refusal.code().code();
    match class(code) {
        Some(Class::Ours) => Fault::ours(message),
        Some(Class::Contention) => Fault::contention(message),
        Some(Class::Passing) => Fault::passing(message),
        Some(Class::Poison) => Fault::poison(Reason::RefusedByLedger, message),
        None => Fault::unknown(code, message),
    }
}

/// The code, and what it is about as far as that is the schema's and not a row's.
fn described(refusal: &DbError) -> String {
    let code = refusal.code().code();
    let mut text = code.to_owned();
    if let Some(name) = condition(code) {
        append(&mut text, " ", name);
    }
    if message_is_about_no_row(code) {
        append(&mut text, ": ", refusal.message());
    }
    let names = [
        (" on table ", refusal.table()),
        (", column ", refusal.column()),
        (", constraint ", refusal.constraint()),
    ];
    for (what, name) in names {
        if let Some(name) = name {
            append(&mut text, what, name);
        }
    }
    text
}

fn append(text: &mut String, what: &str, name: &str) {
    write!(text, "{what}{name}").expect("a String takes everything");
}

/// Connecting, the server's state, and names that are not there.
fn message_is_about_no_row(code: &str) -> bool {
    const ABOUT_THE_SERVER: [&str; 10] = [
        "08", "28", "3D", "3F", "53", "57P", "58", "42P01", "42501", "42703",
    ];
    ABOUT_THE_SERVER.iter().any(|class| code.starts_with(class))
}

/// The names of those codes that people will meet.
fn condition(code: &str) -> Option<&'static str> {
    Some(match code {
        "21000" => "cardinality_violation",
        "22001" => "string_data_right_truncation",
        "22003" => "numeric_value_out_of_range",
        "22008" => "datetime_field_overflow",
        "22021" => "character_not_in_repertoire",
        "22P02" => "invalid_text_representation",
        "22P05" => "untranslatable_character",
        "23502" => "not_null_violation",
        "23503" => "foreign_key_violation",
        "23505" => "unique_violation",
        "23514" => "check_violation",
        "25006" => "read_only_sql_transaction",
        "25P02" => "in_failed_sql_transaction",
        "40001" => "serialization_failure",
        "40P01" => "deadlock_detected",
        "53100" => "disk_full",
        "53300" => "too_many_connections",
        "54000" => "program_limit_exceeded",
        "54001" => "statement_too_complex",
        "55P03" => "lock_not_available",
        "57014" => "query_canceled",
        _ => return None,
    })
}

/// The driver's own text, and below it that of the operating system. Other sources are left out: a
/// conversion error may quote what it could not convert.
fn without_rows(error: &Error) -> String {
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(io) => format!("{error}: {io}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Class, sqlstates: &[&str]) {
        for sqlstate in sqlstates {
            assert_eq!(class(sqlstate), Some(expected), "{sqlstate}");
        }
    }

    #[test]
    fn an_outage_of_ours_is_never_an_events_fault() {
        check(
            Class::Ours,
            &[
                "08000", "08006", "53100", "53300", "57P01", "57P03", "58030", "25006", "25P02",
                "28P01", "3D000", "3F000", "42P01", "42601", "0A000", "26000", "55000", "XX000",
                "XX001", "40003",
            ],
        );
    }

    #[test]
    fn two_writers_that_met_are_contention() {
        check(Class::Contention, &["40001", "40P01", "55P03", "57014"]);
    }

    #[test]
    fn a_missing_parent_may_come_yet() {
        check(Class::Passing, &["23503"]);
    }

    #[test]
    fn whatever_no_rule_names_is_unknown() {
        for sqlstate in ["40000", "40002", "55006", "57000", "P0001", "99999"] {
            assert_eq!(class(sqlstate), None, "{sqlstate}");
        }
    }

    #[test]
    fn data_the_database_refuses_is_poison() {
        check(
            Class::Poison,
            &[
                "22001", "22003", "22021", "22P02", "22P05", "21000", "23502", "23505", "23514",
                "54000", "54001",
            ],
        );
    }

    #[test]
    fn a_message_that_may_quote_a_row_is_not_quoted() {
        for code in [
            "22P02", "22003", "23505", "23503", "23514", "P0001", "XX000", "42601",
        ] {
            assert!(!message_is_about_no_row(code), "{code}");
        }
    }
}
