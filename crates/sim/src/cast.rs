//! Who plays: the events of a schedule, each with its nature.

use crate::clock;
use bytes::Bytes;
use envelope::{Attempt, Envelope, SignatureDigest};

/// What an event is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Nothing is wrong with it.
    Healthy,
    /// Its body is not JSON.
    NotJson,
    /// The ledger can never take it.
    Refused,
    /// The ledger refuses it so often, for now.
    Passing(u32),
    /// The ledger refuses it for now, each time.
    Stuck,
    /// Whoever applies it dies.
    Killer,
    /// It comes with one body and then with another.
    TwoBodies,
    /// Its signed bytes come again under another id.
    Replayed,
    /// It carries the signed bytes of the event before it.
    Replay,
}

/// An event of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Which; its id is made from it.
    pub number: u32,
    /// What it is like.
    pub nature: Nature,
}

impl Role {
    /// Its id.
    pub fn id(self) -> String {
        format!("e{}", self.number)
    }

    /// The event as a door seals it, on being sent for the `time`th time.
    pub fn envelope(self, time: u32) -> Envelope {
        let now = clock::now();
        Envelope {
            event_id: self.id().parse().expect("letters and digits are an id"),
            source: "default".parse().expect("a name of ours"),
            body: self.body(time),
            content_type: None,
            received_at: now,
            signed_at: Some(now.seconds()),
            signature_digest: self.digest(now.0),
            attempt: Attempt::FIRST,
            parked: 0,
            replays: 0,
            note: None,
            traceparent: None,
        }
    }

    fn body(self, time: u32) -> Bytes {
        let order = self.number % 3;
        let amount = match self.nature {
            Nature::TwoBodies => 100 + time % 2,
            Nature::Replay => {
                return Self {
                    number: self.number - 1,
                    nature: Nature::Replayed,
                }
                .body(0);
            }
            Nature::NotJson => return Bytes::from_static(b"not json"),
            Nature::Healthy
            | Nature::Refused
            | Nature::Passing(_)
            | Nature::Stuck
            | Nature::Killer
            | Nature::Replayed => self.number,
        };
        let id = self.id();
        // Named in the body, the signature covers the id.
        let is_named = self.nature == Nature::Healthy && self.number.is_multiple_of(2);
        let named = if is_named {
            format!(r#""id":"{id}","#)
        } else {
            String::new()
        };
        Bytes::from(format!(
            r#"{{{named}"orderId":"o{order}","amount":{amount},"status":"{id}"}}"#
        ))
    }

    /// Each try is signed anew, except where the point is that it is not.
    fn digest(self, now: i64) -> Option<SignatureDigest> {
        let signed = match self.nature {
            Nature::Replayed => format!("replayed {}", self.number),
            Nature::Replay => format!("replayed {}", self.number - 1),
            Nature::Healthy
            | Nature::NotJson
            | Nature::Refused
            | Nature::Passing(_)
            | Nature::Stuck
            | Nature::Killer
            | Nature::TwoBodies => format!("{} {now}", self.number),
        };
        Some(SignatureDigest::of(&[signed.as_bytes()]))
    }
}
