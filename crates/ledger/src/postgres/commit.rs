//! One batch, one transaction: dedupe rows, effects, COMMIT.

use super::session::Session;
use super::timestamp::Timestamptz;
use super::transaction::{PostgresTransaction, column};
use crate::standing::Standing;
use crate::{Candidate, Handler, Verdict};
use envelope::{BodyHash, Key};
use resilience::Fault;
use std::collections::{HashMap, HashSet};
use tokio_postgres::Row;

/// Ordered by key, so that two batches with the same events wait for each other and never deadlock. No
/// conflict target, so that the replay guard's index counts as well as the key.
const INSERT: &str = "\
    INSERT INTO processed_webhooks (key, pipeline, source, event_id, signature_digest, body_sha256, \
        payload, received_at, attempt, worker) \
    SELECT t.*, $10::text FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bytea[], \
        $6::bytea[], $7::bytea[], $8::timestamptz[], $9::int4[]) \
        AS t(key, pipeline, source, event_id, signature_digest, body_sha256, payload, received_at, attempt) \
    ORDER BY t.key \
    ON CONFLICT DO NOTHING \
    RETURNING key";

/// What was in the way of those that were not inserted. A new statement sees what has been committed
/// since, so it finds the row the insert waited for. A digest that is NULL equals nothing.
///
/// Subqueries for one value each, not a join and not EXISTS: those are planned as a hash of the whole table
/// while it is small, and a prepared statement keeps its plan while the table grows.
const FIND: &str = "\
    SELECT t.key, \
        (SELECT own.body_sha256 FROM processed_webhooks AS own WHERE own.key = t.key), \
        (SELECT true FROM processed_webhooks AS other \
            WHERE other.pipeline = t.pipeline AND other.source = t.source \
              AND other.signature_digest = t.signature_digest) IS NOT NULL \
    FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bytea[]) \
        AS t(key, pipeline, source, signature_digest)";

pub(super) async fn commit<H: Handler>(
    session: &Session,
    worker: &str,
    handler: &H,
    batch: &[Candidate<H::Effect>],
) -> Result<Vec<Verdict>, Fault> {
    let mut transaction = PostgresTransaction::begin(session).await?;
    let inserted = insert(&mut transaction, worker, batch).await?;
    let standings = stand(&mut transaction, batch, &inserted).await?;
    let leaders = leaders(batch, &standings);
    if !leaders.is_empty() {
        handler.apply(&mut transaction, &leaders).await?;
    }
    transaction.commit().await?;
    let judged = batch.iter().zip(standings);
    Ok(judged
        .map(|(candidate, standing)| standing.after_commit(candidate.body_sha256))
        .collect())
}

async fn insert<E>(
    transaction: &mut PostgresTransaction<'_>,
    worker: &str,
    batch: &[Candidate<E>],
) -> Result<HashSet<Key>, Fault> {
    let keys = column(batch, |candidate| candidate.key.as_bytes().as_slice());
    let pipelines = column(batch, |candidate| candidate.pipeline.as_str());
    let sources = column(batch, |candidate| candidate.source.as_str());
    let event_ids = column(batch, |candidate| candidate.event_id.as_str());
    let digests = column(batch, digest);
    let bodies = column(batch, |candidate| {
        candidate.body_sha256.as_bytes().as_slice()
    });
    let payloads = column(batch, |candidate| &*candidate.payload);
    let received = column(batch, |candidate| Timestamptz(candidate.received_at));
    let attempts = column(batch, |candidate| i32::from(candidate.attempt.number()));
    let rows = transaction
        .execute(
            INSERT,
            &[
                &keys, &pipelines, &sources, &event_ids, &digests, &bodies, &payloads, &received,
                &attempts, &worker,
            ],
        )
        .await?;
    rows.iter().map(key).collect()
}

/// How each candidate stands, in the order of the batch.
async fn stand<E>(
    transaction: &mut PostgresTransaction<'_>,
    batch: &[Candidate<E>],
    inserted: &HashSet<Key>,
) -> Result<Vec<Standing>, Fault> {
    let skipped: Vec<_> = batch
        .iter()
        .filter(|candidate| !inserted.contains(&candidate.key))
        .collect();
    if skipped.is_empty() {
        return Ok(vec![Standing::Inserted; batch.len()]);
    }
    let found = find(transaction, &skipped).await?;
    let standing = |candidate: &Candidate<E>| match found.get(&candidate.key) {
        Some(standing) => *standing,
        None => Standing::Inserted,
    };
    Ok(batch.iter().map(standing).collect())
}

async fn find<E>(
    transaction: &mut PostgresTransaction<'_>,
    skipped: &[&Candidate<E>],
) -> Result<HashMap<Key, Standing>, Fault> {
    let keys = column(skipped, |candidate| candidate.key.as_bytes().as_slice());
    let pipelines = column(skipped, |candidate| candidate.pipeline.as_str());
    let sources = column(skipped, |candidate| candidate.source.as_str());
    let digests = column(skipped, |candidate| digest(candidate));
    let rows = transaction
        .execute(FIND, &[&keys, &pipelines, &sources, &digests])
        .await?;
    rows.iter()
        .map(|row| {
            let own_body: Option<&[u8]> = row.get(1);
            let own_body = own_body.map(hash).transpose()?;
            Ok((key(row)?, Standing::of_skipped(own_body, row.get(2))))
        })
        .collect()
}

/// The handler's share: what this transaction inserted, nothing else.
fn leaders<'a, E>(batch: &'a [Candidate<E>], standings: &[Standing]) -> Vec<&'a Candidate<E>> {
    batch
        .iter()
        .zip(standings)
        .filter(|(_, standing)| **standing == Standing::Inserted)
        .map(|(candidate, _)| candidate)
        .collect()
}

fn digest<E>(candidate: &Candidate<E>) -> Option<&[u8]> {
    let digest = candidate.signature_digest.as_ref()?;
    Some(digest.as_bytes())
}

fn key(row: &Row) -> Result<Key, Fault> {
    Ok(Key::from_bytes(exactly(row.get(0))?))
}

fn hash(bytes: &[u8]) -> Result<BodyHash, Fault> {
    Ok(BodyHash::from_bytes(exactly(bytes)?))
}

fn exactly(bytes: &[u8]) -> Result<[u8; 32], Fault> {
    let odd = |_| Fault::ours("a key or hash in processed_webhooks is not 32 bytes long");
    bytes.try_into().map_err(odd)
}
