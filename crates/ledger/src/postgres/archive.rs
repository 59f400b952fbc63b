//! Files dead letters.

use super::session::Session;
use super::suspects;
use super::timestamp::Timestamptz;
use super::transaction::{PostgresTransaction, column};
use crate::DeadLetter;
use envelope::BodyHash;
use resilience::Fault;
use std::borrow::Cow;

/// A letter may come twice in one batch, and an upsert touches a row only once: the one with most replays
/// is taken, the first of equals. Copies of a captured request are one letter, and counted.
///
/// What stood there before the statement is what its last part sees of the table: a letter that is new, or
/// has more replays than the one it replaces, has died, and its history says so.
const ARCHIVE: &str = "\
    WITH now_filed AS (INSERT INTO dead_letters AS filed (pipeline, key, replays, event_id, source, reason, class, error, \
        attempts, payload, headers, first_seen, dead_at, state, copies) \
    SELECT DISTINCT ON (t.pipeline, t.key) \
        t.pipeline, t.key, t.replays, t.event_id, t.source, t.reason, t.class, t.error, \
        t.attempts, t.payload, t.headers::json, t.first_seen, t.dead_at, \
        CASE (SELECT applied.body_sha256 FROM processed_webhooks AS applied WHERE applied.key = t.key) \
            WHEN t.body_sha256 THEN 'superseded' ELSE 'dead' END, \
        CASE t.reason WHEN 'replayed_signature' \
            THEN count(*) OVER (PARTITION BY t.pipeline, t.key) ELSE 1 END \
    FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], \
        $8::text[], $9::int4[], $10::bytea[], $11::text[], $12::timestamptz[], $13::timestamptz[], \
        $14::bytea[]) WITH ORDINALITY \
        AS t(pipeline, key, replays, event_id, source, reason, class, error, \
            attempts, payload, headers, first_seen, dead_at, body_sha256, place) \
    ORDER BY t.pipeline, t.key, t.replays DESC, t.place \
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
        OR (excluded.replays = filed.replays AND excluded.reason = 'replayed_signature') \
    RETURNING pipeline, key, replays, dead_at, reason) \
    INSERT INTO letter_history (pipeline, key, replays, at, what, reason) \
    SELECT f.pipeline, f.key, f.replays, f.dead_at, 'died', f.reason FROM now_filed AS f \
    WHERE f.replays > COALESCE((SELECT before.replays FROM dead_letters AS before \
        WHERE before.pipeline = f.pipeline AND before.key = f.key), -1)";

pub(super) async fn archive(session: &Session, letters: &[DeadLetter]) -> Result<(), Fault> {
    let mut transaction = PostgresTransaction::begin(session).await?;
    upsert(&mut transaction, letters).await?;
    let keys = column(letters, |letter| letter.key.as_bytes().as_slice());
    transaction.execute(suspects::CLEAR, &[&keys]).await?;
    transaction.commit().await
}

async fn upsert(
    transaction: &mut PostgresTransaction<'_>,
    letters: &[DeadLetter],
) -> Result<(), Fault> {
    let pipelines = column(letters, |letter| letter.pipeline.as_str());
    let keys = column(letters, |letter| letter.key.as_bytes().as_slice());
    let replays = column(letters, |letter| i64::from(letter.replays));
    let event_ids = column(letters, |letter| {
        letter.event_id.as_ref().map(|id| id.as_str())
    });
    let sources = column(letters, |letter| {
        letter.source.as_ref().map(|source| source.as_str())
    });
    let reasons = column(letters, |letter| plain(&letter.reason));
    let classes = column(letters, |letter| plain(&letter.class));
    let errors = column(letters, |letter| plain(&letter.error));
    let attempts = column(letters, |letter| i32::from(letter.attempts));
    let payloads = column(letters, |letter| &*letter.payload);
    let headers = column(letters, DeadLetter::headers_json);
    let first_seen = column(letters, |letter| Timestamptz(letter.first_seen));
    let dead_at = column(letters, |letter| Timestamptz(letter.dead_at));
    let bodies = column(letters, |letter| BodyHash::of(&letter.payload));
    let bodies = column(&bodies, |body| body.as_bytes().as_slice());
    transaction
        .execute(
            ARCHIVE,
            &[
                &pipelines,
                &keys,
                &replays,
                &event_ids,
                &sources,
                &reasons,
                &classes,
                &errors,
                &attempts,
                &payloads,
                &headers,
                &first_seen,
                &dead_at,
                &bodies,
            ],
        )
        .await?;
    Ok(())
}

/// A Postgres text holds no NUL. Headers are anybody's, and a letter that is refused is stuck for ever.
fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
