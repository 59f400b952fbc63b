//! The simulated RabbitMQ: quorum queues, retry queues that expire at their head, channels that forget their
//! tags, confirms that get lost.
//!
//! The serving ends are those of the real one: what acks, and when, is `broker`'s own [`Epoch`] with its
//! watermark.
//!
//! [`Epoch`]: broker::amqp::Epoch

mod channel;
mod lane;
mod link;
mod server;

pub use link::Link;
pub use server::{Latency, Server};
