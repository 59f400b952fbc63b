//! Reads faults off SQLite's result codes (<https://www.sqlite.org/rescode.html>).
//!
//! SQLite's own message is left out: it names columns, and sometimes more (I9).

use resilience::{Class, Fault, Reason};
use rusqlite::Error;
use rusqlite::ffi::{self, ErrorCode};

/// A statement failed.
pub(super) fn of(error: &Error) -> Fault {
    match error.sqlite_error() {
        Some(refusal) => of_refusal(*refusal),
        // What the driver makes of the answer: a schema that is not ours, never an event's fault.
        None => Fault::ours("sqlite: an answer of another form than expected"),
    }
}

fn of_refusal(refusal: ffi::Error) -> Fault {
    let code = refusal.extended_code;
    let message = format!("sqlite refused: {code} {}", ffi::code_to_str(code));
    match class(refusal.code) {
        Some(Class::Ours) => Fault::ours(message),
        Some(Class::Contention) => Fault::contention(message),
        Some(Class::Passing) => Fault::passing(message),
        Some(Class::Poison) => Fault::poison(Reason::RefusedByLedger, message),
        None => Fault::unknown(code.to_string(), message),
    }
}

fn class(code: ErrorCode) -> Option<Class> {
    Some(match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::OperationInterrupted => Class::Contention,
        ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch => {
            Class::Poison
        }
        ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::OutOfMemory
        | ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied
        | ErrorCode::NoLargeFileSupport
        | ErrorCode::SchemaChanged
        | ErrorCode::InternalMalfunction
        | ErrorCode::ApiMisuse
        | ErrorCode::OperationAborted
        | ErrorCode::ParameterOutOfRange
        | ErrorCode::NotFound
        // "SQL error or missing database": a table that is not there. The program's, not the event's.
        | ErrorCode::Unknown => Class::Ours,
        // The library's list may grow.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Class, codes: &[i32]) {
        for &code in codes {
            assert_eq!(class(ffi::Error::new(code).code), Some(expected), "{code}");
        }
    }

    #[test]
    fn a_lock_is_contention_the_disk_is_ours_and_a_constraint_is_the_events() {
        check(
            Class::Contention,
            &[ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_INTERRUPT],
        );
        check(
            Class::Ours,
            &[
                ffi::SQLITE_FULL,
                ffi::SQLITE_IOERR,
                ffi::SQLITE_CANTOPEN,
                ffi::SQLITE_READONLY,
                ffi::SQLITE_CORRUPT,
                ffi::SQLITE_NOTADB,
                ffi::SQLITE_ERROR,
            ],
        );
        check(
            Class::Poison,
            &[
                ffi::SQLITE_CONSTRAINT,
                ffi::SQLITE_TOOBIG,
                ffi::SQLITE_MISMATCH,
            ],
        );
    }
}
