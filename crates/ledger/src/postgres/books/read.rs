//! Columns as what they stand for. A row of another form is a fault of ours: nobody else writes them.

use super::super::timestamp::Timestamptz;
use envelope::{BodyHash, Key, UnixMicros};
use resilience::Fault;
use std::str::FromStr;
use tokio_postgres::Row;

pub(super) fn parsed<T: FromStr>(row: &Row, column: usize) -> Result<T, Fault> {
    let text: &str = row.get(column);
    text.parse().map_err(|_| odd(row, column))
}

pub(super) fn parsed_if_any<T: FromStr>(row: &Row, column: usize) -> Result<Option<T>, Fault> {
    let text: Option<&str> = row.get(column);
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|_| odd(row, column))
}

pub(super) fn key(row: &Row, column: usize) -> Result<Key, Fault> {
    Ok(Key::from_bytes(exactly(row, column)?))
}

pub(super) fn hash(row: &Row, column: usize) -> Result<BodyHash, Fault> {
    Ok(BodyHash::from_bytes(exactly(row, column)?))
}

pub(super) fn moment(row: &Row, column: usize) -> UnixMicros {
    let Timestamptz(moment) = row.get(column);
    moment
}

/// Counts are bigints, and never negative.
pub(super) fn count(row: &Row, column: usize) -> u64 {
    row.get::<_, i64>(column).unsigned_abs()
}

/// A count that we keep in fewer bits, because it cannot grow so far.
pub(super) fn small<T: TryFrom<u64>>(row: &Row, column: usize) -> Result<T, Fault> {
    count(row, column).try_into().map_err(|_| odd(row, column))
}

pub(super) fn odd(row: &Row, column: usize) -> Fault {
    let name = row.columns()[column].name();
    Fault::ours(format!("postgres: {name} is of another form than expected"))
}

fn exactly(row: &Row, column: usize) -> Result<[u8; 32], Fault> {
    let bytes: &[u8] = row.get(column);
    bytes.try_into().map_err(|_| odd(row, column))
}
