//! What is known of each of many events.

use super::super::transaction::column;
use super::{PostgresLedger, read};
use crate::books::{Account, AppliedRow, LetterStanding};
use envelope::Key;
use resilience::Fault;
use tokio_postgres::Row;

/// LATERAL with a LIMIT, so that each key is looked up by its index: as a plain join it is planned as a hash
/// of the whole table while that is small, and a prepared statement keeps its plan while the table grows.
const ACCOUNTS: &str = "\
    SELECT a.body_sha256, a.payload_sha256, a.received_at, a.processed_at, \
        l.state, l.replays, l.reason, l.payload_sha256 \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS t(key, place) \
    LEFT JOIN LATERAL (SELECT body_sha256, sha256(payload) AS payload_sha256, received_at, processed_at \
        FROM processed_webhooks WHERE key = t.key LIMIT 1) AS a ON true \
    LEFT JOIN LATERAL (SELECT state, replays, reason, sha256(payload) AS payload_sha256 \
        FROM dead_letters WHERE key = t.key ORDER BY state <> 'dead', dead_at DESC LIMIT 1) AS l ON true \
    ORDER BY t.place";

pub(super) async fn accounts(ledger: &PostgresLedger, keys: &[Key]) -> Result<Vec<Account>, Fault> {
    let keys = column(keys, |key| key.as_bytes().as_slice());
    let rows = ledger.ask(ACCOUNTS, &[&keys]).await?;
    rows.iter().map(account).collect()
}

fn account(row: &Row) -> Result<Account, Fault> {
    let (body, state): (Option<&[u8]>, Option<&str>) = (row.get(0), row.get(4));
    Ok(Account {
        applied: body.map(|_| applied(row)).transpose()?,
        letter: state.map(|_| letter(row)).transpose()?,
    })
}

fn applied(row: &Row) -> Result<AppliedRow, Fault> {
    Ok(AppliedRow {
        body_sha256: read::hash(row, 0)?,
        payload_sha256: read::hash(row, 1)?,
        received_at: read::moment(row, 2),
        processed_at: read::moment(row, 3),
    })
}

fn letter(row: &Row) -> Result<LetterStanding, Fault> {
    Ok(LetterStanding {
        state: read::parsed(row, 4)?,
        replays: read::small(row, 5)?,
        reason: row.get(6),
        body_sha256: read::hash(row, 7)?,
    })
}
