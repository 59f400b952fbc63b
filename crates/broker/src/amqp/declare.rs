//! Declares the topology. The same declaration again changes nothing; another one is refused (406).

use super::session::{OpenError, Session, bounded};
use crate::{
    Binding, DeadLetterTo, Exchange, ExchangeKind, Journal, Queue, QueueKind, QueueName, Topology,
};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind};
use std::future::Future;

/// How often a broker hands a message out before it gives it up on its own. Large and positive: −1 means
/// "drop at the first requeue" on RabbitMQ 3.10, and leaving it out means 20 on 4.x, which two dozen
/// crashes of a worker reach with healthy events. What ends an event is our own `x-attempt`.
const DELIVERY_LIMIT: i32 = 1_000_000_000;

pub(super) async fn topology(session: &Session, topology: &Topology) -> Result<(), OpenError> {
    let channel = session.channel().await?;
    for exchange in topology.exchanges() {
        declare_exchange(&channel, &exchange).await?;
    }
    for queue in topology.queues() {
        declare_queue(&channel, &queue, topology.dead_letter(&queue.name)).await?;
    }
    for binding in topology.bindings() {
        bind(&channel, binding).await?;
    }
    bounded("closing a channel", channel.close(200, "declared".into())).await
}

/// Whether every pipeline's queue is there already.
pub(super) async fn queues_exist(
    session: &Session,
    topology: &Topology,
) -> Result<bool, OpenError> {
    for pipeline in &topology.pipelines {
        // A refusal closes the channel, so each question has one of its own.
        let channel = session.channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let name = QueueName::main(&pipeline.name);
        let asking = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        if bounded("asking for a queue", asking).await.is_err() {
            return Ok(false);
        }
        bounded("closing a channel", channel.close(200, "asked".into())).await?;
    }
    Ok(true)
}

async fn declare_exchange(channel: &Channel, exchange: &Exchange) -> Result<(), OpenError> {
    let kind = match exchange.kind {
        ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
        ExchangeKind::Direct => lapin::ExchangeKind::Direct,
    };
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let mut arguments = FieldTable::default();
    if let Some(alternate) = exchange.alternate {
        arguments.insert("alternate-exchange".into(), text(alternate));
    }
    let declaring = channel.exchange_declare(exchange.name.into(), kind, options, arguments);
    differs(bounded_soft(&format!("exchange {}", exchange.name), declaring).await)
}

async fn declare_queue(
    channel: &Channel,
    queue: &Queue,
    dead_letter: Option<DeadLetterTo>,
) -> Result<(), OpenError> {
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let arguments = match queue.kind {
        QueueKind::Quorum => quorum(dead_letter),
        QueueKind::Stream(journal) => stream(journal),
    };
    let declaring = channel.queue_declare(queue.name.as_str().into(), options, arguments);
    differs(
        bounded_soft(&format!("queue {}", queue.name), declaring)
            .await
            .map(|r| r.map(drop)),
    )
}

fn quorum(dead_letter: Option<DeadLetterTo>) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert(
        "x-delivery-limit".into(),
        AMQPValue::LongInt(DELIVERY_LIMIT),
    );
    let Some(to) = dead_letter else {
        return arguments;
    };
    // The default exchange routes by queue name, and nobody can delete or rebind it.
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(to.queue.as_str()));
    // The default, at-most-once, may lose a message when the broker dies; this one needs reject-publish,
    // which has no effect on a queue without a length.
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    if let Some(delay) = to.after {
        let millis = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(millis));
    }
    arguments
}

fn stream(journal: Journal) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("stream"));
    arguments.insert(
        "x-max-age".into(),
        text(&format!("{}s", journal.max_age.as_secs())),
    );
    let bytes = i64::try_from(journal.max_bytes).unwrap_or(i64::MAX);
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(bytes));
    arguments
}

async fn bind(channel: &Channel, binding: Binding) -> Result<(), OpenError> {
    let (from, key) = (binding.from.into(), binding.key.as_str().into());
    let options = Default::default();
    match &binding.to {
        Some(queue) => {
            let options = QueueBindOptions::default();
            let binding = channel.queue_bind(
                queue.as_str().into(),
                from,
                key,
                options,
                FieldTable::default(),
            );
            bounded("binding a queue", binding).await
        }
        None => {
            let route = Topology::ROUTE.into();
            let binding = channel.exchange_bind(route, from, key, options, FieldTable::default());
            bounded("binding an exchange", binding).await
        }
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Like `bounded`, and keeps the broker's own refusal apart from its absence.
async fn bounded_soft<T>(
    step: &str,
    declaring: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<Result<T, String>, OpenError> {
    bounded(step, async {
        match declaring.await {
            Ok(done) => Ok(Ok(done)),
            Err(error) => precondition(&error).map(Err).ok_or(error),
        }
    })
    .await
}

fn precondition(error: &lapin::Error) -> Option<String> {
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return None;
    };
    let differs = *refusal.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
    differs.then(|| refusal.get_message().to_string())
}

fn differs(declared: Result<Result<(), String>, OpenError>) -> Result<(), OpenError> {
    match declared? {
        Ok(()) => Ok(()),
        Err(refusal) => Err(OpenError::Topology(refusal)),
    }
}
