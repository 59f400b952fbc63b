//! What lies where, at one look.

use crate::QueueName;

/// How much lies in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// To be handed out now. In RabbitMQ, what waits in a retry queue is ready in that one.
    pub ready: u64,
    /// Handed out and not acked; unknown to RabbitMQ's passive declaration.
    pub unacked: Option<u64>,
    /// To join this queue when they are due. Embedded only: its retry queues are nothing but this.
    pub delayed: Option<u64>,
    /// Who reads from it. RabbitMQ only. Where this is more than the consumers of all pulses
    /// ([`InHand::consumers`](crate::InHand::consumers)), somebody holds events of whom no pulse tells: a
    /// worker that died a moment ago and whom the broker still believes in, or another program's consumer.
    pub consumers: Option<u64>,
}

/// Why nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// The broker has no such queue.
    #[error("the broker has no queue {0}")]
    Missing(QueueName),
    /// The broker is away, or does not answer. Waiting helps.
    #[error("the broker cannot be asked: {0}")]
    Away(String),
    /// The embedded broker's file cannot be read.
    #[error("the broker's file cannot be read: {0}")]
    Unreadable(String),
}
