//! Columns as what they stand for.

use envelope::{BodyHash, Key, UnixMicros};
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use std::fmt::Display;
use std::str::FromStr;

pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|why| odd(column, why))
}

pub(super) fn parsed_if_any<T: FromStr<Err: Display>>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|why| odd(column, why))
}

pub(super) fn key(row: &Row<'_>, column: usize) -> Result<Key> {
    row.get(column).map(Key::from_bytes)
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> Result<BodyHash> {
    row.get(column).map(BodyHash::from_bytes)
}

pub(super) fn moment(row: &Row<'_>, column: usize) -> Result<UnixMicros> {
    row.get(column).map(UnixMicros)
}

/// Counts are never negative.
pub(super) fn count(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}

/// The hash of a payload, taken here: this database knows none.
pub(super) fn payload_hash(row: &Row<'_>, column: usize) -> Result<BodyHash> {
    let payload = row.get_ref(column)?.as_blob();
    Ok(BodyHash::of(payload.map_err(|why| odd(column, why))?))
}

pub(super) fn odd(column: usize, why: impl Display) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, why.to_string().into())
}
