//! The queue between ingest and worker: RabbitMQ over AMQP 0-9-1, or an embedded one on SQLite.
//!
//! Only this crate says AMQP. What the programs hold is the same for both brokers: a [`Publisher`] whose
//! only success is a [`Confirmed`], and a [`Consumer`] whose [`Delivery`] is settled exactly once. A
//! broker is whatever serves the other end of those two: it takes a [`PublishRequest`] and answers it,
//! it puts deliveries into a [`Feed`] and reads what became of them from a [`Hand`].
//!
//! Beside the event path an operator may ask: what was accepted ([`Broker::read_journal`]), how much lies
//! where ([`Broker::look`], [`Broker::holds`]), who is at work on it ([`Broker::pulses`]).
//!
//! It never looks into a body and never retries on its own. Start with [`Broker::start`], then
//! `topology.rs`, then `amqp/publish.rs`.

pub mod amqp;
mod consumer;
pub mod embedded;
mod in_hand;
mod journal;
mod look;
mod publisher;
mod pulse;
mod start;
mod topology;
mod vitals;

pub use consumer::{Consumer, Content, Delivery, Ending, Feed, Hand, Receipt, Tag, consumer};
pub use embedded::{KeepError, Spool, Spooled};
pub use in_hand::InHand;
pub use journal::{Entry, JournalError, JournalReader, JournalStart, Position};
pub use look::{Look, LookError};
pub use publisher::{
    Confirmed, LaneState, PublishError, PublishLane, PublishRequest, Publisher, publisher,
};
pub use pulse::{Pulse, Pulses};
pub use start::{Broker, BrokerUrl, Settings, StartError};
pub use topology::{
    Binding, DeadLetterTo, Destination, Exchange, ExchangeKind, Journal, Pipeline, Queue,
    QueueKind, QueueName, SourceFilter, Topology,
};
pub use vitals::Vitals;
