//! The pulse: once a second each worker says what it has in hand.
//!
//! It travels off the event path, is kept nowhere and may be lost. Whoever listens takes a worker for gone
//! that has been silent for five seconds.

use envelope::{PipelineName, UnixMicros};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// How often a worker says how it is.
pub(crate) const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// Pulses kept for a listener that does not read: five seconds of two hundred workers. Beyond it the oldest
/// are dropped, since each is worth less than the next.
pub(crate) const PULSES_MAX: usize = 1_000;

/// What one worker says of itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pulse {
    /// Its name, unique among those of its pipeline.
    pub worker: String,
    /// Whose events it takes.
    pub pipeline: PipelineName,
    /// From which queue: an archiver takes from a dead one.
    pub queue: String,
    /// When it said so, by its own clock.
    pub at: UnixMicros,
    /// [`InHand::unacked`](crate::InHand::unacked).
    pub unacked: u64,
    /// [`InHand::oldest_received_at`](crate::InHand::oldest_received_at).
    pub oldest_received_at: Option<UnixMicros>,
    /// [`InHand::taken_total`](crate::InHand::taken_total).
    pub taken_total: u64,
    /// [`InHand::consumers`](crate::InHand::consumers). A worker that does not say so has one.
    #[serde(default = "one")]
    pub consumers: u64,
    /// Which share of its time it was at work, from 0 to 1.
    pub busy: f64,
    /// Its breakers and their states, by dependency.
    pub breakers: BTreeMap<String, String>,
}

fn one() -> u64 {
    1
}

/// Listens to the pulses of all workers, from now on.
#[derive(Debug)]
pub struct Pulses {
    receiver: broadcast::Receiver<Pulse>,
    ended: CancellationToken,
}

impl Pulses {
    /// Of a broker that says when it has ended.
    pub(crate) fn of(receiver: broadcast::Receiver<Pulse>, ended: CancellationToken) -> Self {
        Self { receiver, ended }
    }

    /// The next pulse. Where nobody read for a while, the oldest are gone. Nothing once the broker has stopped.
    pub async fn next(&mut self) -> Option<Pulse> {
        loop {
            match self.ended.run_until_cancelled(self.receiver.recv()).await {
                Some(Ok(pulse)) => return Some(pulse),
                Some(Err(RecvError::Lagged(_))) => {}
                Some(Err(RecvError::Closed)) | None => return None,
            }
        }
    }
}
