//! The least worker, without its work: reads a queue to its end and acknowledges `multiple`. Prints the rate.
//!
//! `AMQP_URL`, `QUEUE`, `COUNT`; `PREFETCH` 512, `ACK_EVERY` 256.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use std::time::Instant;
use yardstick::{required, setting};

#[tokio::main]
async fn main() -> Result<()> {
    let (count, every): (u64, u64) = (required("COUNT")?.parse()?, setting("ACK_EVERY", 256));
    let connection =
        Connection::connect(&required("AMQP_URL")?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .basic_qos(setting("PREFETCH", 512), BasicQosOptions::default())
        .await?;
    let queue = required("QUEUE")?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel
        .basic_consume(
            queue.as_str().into(),
            "".into(),
            options,
            FieldTable::default(),
        )
        .await?;
    let started = Instant::now();
    for number in 1..=count {
        let delivery = deliveries.next().await.context("the queue ended")??;
        if number % every == 0 || number == count {
            delivery.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
    println!("{}", count as f64 / started.elapsed().as_secs_f64());
    Ok(())
}
