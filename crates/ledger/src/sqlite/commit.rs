//! One batch, one transaction: dedupe rows, effects, COMMIT.

use super::transaction::SqliteTransaction;
use super::{blocking, fault};
use crate::standing::Standing;
use crate::{Candidate, Handler, Verdict};
use envelope::BodyHash;
use resilience::Fault;
use rusqlite::{Connection, OptionalExtension};

/// No conflict target, so that the replay guard's index counts as well as the key.
const INSERT: &str = "\
    INSERT INTO processed_webhooks (key, pipeline, source, event_id, signature_digest, body_sha256, \
        payload, received_at, attempt, worker) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
    ON CONFLICT DO NOTHING";

const FIND_BODY: &str = "SELECT body_sha256 FROM processed_webhooks WHERE key = ?1";

const FIND_SIGNATURE: &str = "\
    SELECT EXISTS (SELECT 1 FROM processed_webhooks \
        WHERE pipeline = ?1 AND source = ?2 AND signature_digest = ?3)";

pub(super) async fn commit<H: Handler>(
    connection: &mut Connection,
    worker: &str,
    handler: &H,
    batch: &[Candidate<H::Effect>],
) -> Result<Vec<Verdict>, Fault> {
    let (mut transaction, standings) = blocking(|| {
        let mut transaction = SqliteTransaction::begin(connection)?;
        let standings = insert(&mut transaction, worker, batch)?;
        Ok((transaction, standings))
    })?;
    let leaders = leaders(batch, &standings);
    if !leaders.is_empty() {
        handler.apply(&mut transaction, &leaders).await?;
    }
    blocking(|| transaction.commit())?;
    let judged = batch.iter().zip(standings);
    Ok(judged
        .map(|(candidate, standing)| standing.after_commit(candidate.body_sha256))
        .collect())
}

fn insert<E>(
    transaction: &mut SqliteTransaction<'_>,
    worker: &str,
    batch: &[Candidate<E>],
) -> Result<Vec<Standing>, Fault> {
    batch
        .iter()
        .map(|candidate| insert_one(transaction, worker, candidate))
        .collect()
}

fn insert_one<E>(
    transaction: &mut SqliteTransaction<'_>,
    worker: &str,
    candidate: &Candidate<E>,
) -> Result<Standing, Fault> {
    let parameters = (
        candidate.key.as_bytes(),
        candidate.pipeline.as_str(),
        candidate.source.as_str(),
        candidate.event_id.as_str(),
        digest(candidate),
        candidate.body_sha256.as_bytes(),
        &*candidate.payload,
        candidate.received_at.0,
        candidate.attempt.number(),
        worker,
    );
    match transaction.execute(INSERT, parameters)? {
        0 => find(transaction.connection(), candidate).map_err(|error| fault::of(&error)),
        _ => Ok(Standing::Inserted),
    }
}

/// What was in the way of one that was not inserted. A digest that is NULL equals nothing.
fn find<E>(connection: &Connection, candidate: &Candidate<E>) -> rusqlite::Result<Standing> {
    let own_body = connection
        .prepare_cached(FIND_BODY)?
        .query_one([candidate.key.as_bytes()], |row| row.get(0))
        .optional()?;
    let signature = (
        candidate.pipeline.as_str(),
        candidate.source.as_str(),
        digest(candidate),
    );
    let signature_known = connection
        .prepare_cached(FIND_SIGNATURE)?
        .query_one(signature, |row| row.get(0))?;
    let own_body = own_body.map(BodyHash::from_bytes);
    Ok(Standing::of_skipped(own_body, signature_known))
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

fn digest<E>(candidate: &Candidate<E>) -> Option<&[u8; 16]> {
    let digest = candidate.signature_digest.as_ref()?;
    Some(digest.as_bytes())
}
