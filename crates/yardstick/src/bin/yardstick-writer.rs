//! The least ledger: writes the same rows to the same three tables in one transaction a batch, with UNNEST, and asks
//! nothing. Prints the rate.
//!
//! `POSTGRES_URL` of a schema that has the tables, `COUNT`; `BATCH` 256, `ORDERS` 10000.

use anyhow::Result;
use sha2::{Digest, Sha256};
use std::time::Instant;
use tokio_postgres::{Client, NoTls, Statement};
use yardstick::{required, setting};

const EVENTS: &str = "\
    INSERT INTO processed_webhooks (key, pipeline, source, event_id, body_sha256, payload, received_at, attempt, worker) \
    SELECT key, 'payments', 'default', id, sha, payload, now(), 1, 'yardstick' \
    FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::bytea[]) AS t(key, id, sha, payload) ORDER BY key \
    ON CONFLICT DO NOTHING";
const PAYMENTS: &str = "\
    INSERT INTO payments (event_id, source, order_id, amount, currency, status) \
    SELECT id, 'default', order_id, amount, 'EUR', 'completed' \
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS t(id, order_id, amount)";
const ORDERS: &str = "\
    INSERT INTO orders AS o (order_id, status, amount, currency, version, version_received_at, applied_events, amount_total) \
    SELECT order_id, 'completed', max(amount), 'EUR', now(), now(), count(*), sum(amount) \
    FROM unnest($1::text[], $2::bigint[]) AS t(order_id, amount) GROUP BY order_id ORDER BY order_id \
    ON CONFLICT (order_id) DO UPDATE SET amount = excluded.amount, version = excluded.version, \
        applied_events = o.applied_events + excluded.applied_events, \
        amount_total = o.amount_total + excluded.amount_total, updated_at = now()";

#[tokio::main]
async fn main() -> Result<()> {
    let (count, batch): (u64, u64) = (required("COUNT")?.parse()?, setting("BATCH", 256));
    let (mut client, connection) =
        tokio_postgres::connect(&required("POSTGRES_URL")?, NoTls).await?;
    tokio::spawn(connection);
    let statements = [
        client.prepare(EVENTS).await?,
        client.prepare(PAYMENTS).await?,
        client.prepare(ORDERS).await?,
    ];
    let started = Instant::now();
    for first in (0..count).step_by(usize::try_from(batch)?) {
        write(&mut client, &statements, first..count.min(first + batch)).await?;
    }
    println!("{}", count as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

async fn write(
    client: &mut Client,
    statements: &[Statement; 3],
    numbers: std::ops::Range<u64>,
) -> Result<()> {
    let orders: u64 = setting("ORDERS", 10_000);
    let ids: Vec<String> = numbers
        .clone()
        .map(|number| format!("yard{number:016}"))
        .collect();
    let order_ids: Vec<String> = numbers
        .clone()
        .map(|number| format!("yardo{:06}", number % orders))
        .collect();
    let amounts: Vec<i64> = numbers
        .map(|number| i64::try_from(number % 9_973 + 1))
        .collect::<Result<_, _>>()?;
    let body = |(id, (order, amount)): (&String, (&String, &i64))| {
        format!(r#"{{"id":"{id}","type":"payment.completed","orderId":"{order}","amount":{amount},"currency":"EUR","status":"completed"}}"#)
            .into_bytes()
    };
    let payloads: Vec<Vec<u8>> = ids
        .iter()
        .zip(order_ids.iter().zip(&amounts))
        .map(body)
        .collect();
    let hashes: Vec<Vec<u8>> = payloads
        .iter()
        .map(|body| Sha256::digest(body).to_vec())
        .collect();
    let keys: Vec<Vec<u8>> = ids.iter().map(|id| Sha256::digest(id).to_vec()).collect();
    let [events, payments, orders] = statements;
    let transaction = client.transaction().await?;
    transaction
        .execute(events, &[&keys, &ids, &hashes, &payloads])
        .await?;
    transaction
        .execute(payments, &[&ids, &order_ids, &amounts])
        .await?;
    transaction.execute(orders, &[&order_ids, &amounts]).await?;
    Ok(transaction.commit().await?)
}
