//! What crosses the broker, and the names everything else is spoken in.
//!
//! Only this crate knows the wire form of an event: which property and which header carries what.
//! It never does I/O, never reads a clock and never sees a secret. Start with [`Envelope`].

mod envelope;
mod fingerprint;
mod moment;
mod name;
mod text;
mod wire;

pub use envelope::{Attempt, DeadLetterNote, Envelope};
pub use fingerprint::{BodyHash, Key, SignatureDigest};
pub use moment::{UnixMicros, UnixSeconds};
pub use name::{EventId, InvalidName, PipelineName, SourceName};
pub use text::{ContentType, ErrorText, TraceParent};
pub use wire::{Fields, Foreign, Wire, WireValue, header};
