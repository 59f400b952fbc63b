//! Files dead letters.

use super::suspects;
use super::transaction::SqliteTransaction;
use crate::DeadLetter;
use envelope::BodyHash;
use resilience::Fault;
use rusqlite::{Connection, named_params};

/// Copies of a captured request are one letter, and counted.
const ARCHIVE: &str = "\
    INSERT INTO dead_letters AS filed (pipeline, key, replays, event_id, source, reason, class, error, \
        attempts, payload, headers, first_seen, dead_at, state) \
    VALUES (:pipeline, :key, :replays, :event_id, :source, :reason, :class, :error, \
        :attempts, :payload, :headers, :first_seen, :dead_at, \
        CASE WHEN EXISTS (SELECT 1 FROM processed_webhooks AS applied \
                WHERE applied.key = :key AND applied.body_sha256 = :body) \
            THEN 'superseded' ELSE 'dead' END) \
    ON CONFLICT (pipeline, key) DO UPDATE SET \
        replays = excluded.replays, event_id = excluded.event_id, source = excluded.source, \
        reason = excluded.reason, class = excluded.class, error = excluded.error, \
        attempts = excluded.attempts, payload = excluded.payload, headers = excluded.headers, \
        dead_at = excluded.dead_at, \
        first_seen = CASE WHEN excluded.replays > filed.replays \
            THEN excluded.first_seen ELSE filed.first_seen END, \
        state = CASE WHEN excluded.replays > filed.replays \
            THEN excluded.state ELSE filed.state END, \
        copies = CASE WHEN excluded.replays > filed.replays \
            THEN excluded.copies ELSE filed.copies + excluded.copies END \
    WHERE excluded.replays > filed.replays \
        OR (excluded.replays = filed.replays AND excluded.reason = 'replayed_signature')";

/// Before it is filed: a letter that is new, or has more replays than the one it replaces, has died.
const DIED: &str = "\
    INSERT INTO letter_history (pipeline, key, replays, at, what, reason) \
    SELECT :pipeline, :key, :replays, :dead_at, 'died', :reason \
    WHERE NOT EXISTS (SELECT 1 FROM dead_letters \
        WHERE pipeline = :pipeline AND key = :key AND replays >= :replays)";

pub(super) fn archive(connection: &mut Connection, letters: &[DeadLetter]) -> Result<(), Fault> {
    let mut transaction = SqliteTransaction::begin(connection)?;
    letters
        .iter()
        .try_for_each(|letter| file(&mut transaction, letter))?;
    transaction.commit()
}

fn file(transaction: &mut SqliteTransaction<'_>, letter: &DeadLetter) -> Result<(), Fault> {
    let death = named_params! {
        ":pipeline": letter.pipeline.as_str(),
        ":key": letter.key.as_bytes(),
        ":replays": letter.replays,
        ":dead_at": letter.dead_at.0,
        ":reason": letter.reason,
    };
    transaction.execute(DIED, death)?;
    upsert(transaction, letter)?;
    suspects::forget(transaction, letter.key)
}

fn upsert(transaction: &mut SqliteTransaction<'_>, letter: &DeadLetter) -> Result<(), Fault> {
    let body = BodyHash::of(&letter.payload);
    let parameters = named_params! {
        ":pipeline": letter.pipeline.as_str(),
        ":key": letter.key.as_bytes(),
        ":replays": letter.replays,
        ":event_id": letter.event_id.as_ref().map(|id| id.as_str()),
        ":source": letter.source.as_ref().map(|source| source.as_str()),
        ":reason": letter.reason,
        ":class": letter.class,
        ":error": letter.error,
        ":attempts": letter.attempts,
        ":payload": &*letter.payload,
        ":headers": letter.headers_json(),
        ":first_seen": letter.first_seen.0,
        ":dead_at": letter.dead_at.0,
        ":body": body.as_bytes(),
    };
    transaction.execute(ARCHIVE, parameters).map(drop)
}
