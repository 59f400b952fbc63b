//! The queue between ingest and worker: RabbitMQ over AMQP 0-9-1, or an embedded one on SQLite.
//!
//! Only this crate says AMQP. What the programs hold is the same for both brokers: a [`Publisher`] whose
//! only success is a [`Confirmed`], and a [`Consumer`] whose [`Delivery`] is settled exactly once. A
//! broker is whatever serves the other end of those two: it takes a [`PublishRequest`] and answers it,
//! it puts deliveries into a [`Feed`] and reads what became of them from a [`Hand`].
//!
//! It never looks into a body and never retries on its own. Start with [`Broker::start`], then
//! `topology.rs`, then `amqp/publish.rs`.

pub mod amqp;
mod consumer;
pub mod embedded;
mod publisher;
mod start;
mod topology;

pub use consumer::{Consumer, Content, Delivery, Ending, Feed, Hand, Receipt, Tag, consumer};
pub use embedded::{KeepError, Spool, Spooled};
pub use publisher::{
    Confirmed, LaneState, PublishError, PublishLane, PublishRequest, Publisher, publisher,
};
pub use start::{Broker, BrokerUrl, Settings, StartError};
pub use topology::{
    Binding, DeadLetterTo, Destination, Exchange, ExchangeKind, Journal, Pipeline, Queue,
    QueueKind, QueueName, SourceFilter, Topology,
};
