//! What holds of every envelope that was read, from wherever.

use broker::Content;
use broker::amqp::{from_bytes, to_bytes};
use envelope::{Envelope, EventId, Wire};

/// It is within the bounds that keep the client library standing, and what we write of it is read as the same.
pub(crate) fn is_kept(envelope: &Envelope) {
    let id = envelope.event_id.as_str();
    assert!((1..=EventId::MAX_BYTES).contains(&id.len()), "{id:?}");
    assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id:?}");
    let wire = envelope.to_wire();
    let read = Envelope::read(&wire, envelope.body.clone());
    assert_eq!(read.as_ref(), Ok(envelope), "over its wire form");
    assert_eq!(stored(&wire), wire, "over the embedded broker's table");
    let Some(Content::Event(read)) = from_bytes(&to_bytes(envelope)) else {
        panic!("{envelope:?} is foreign over AMQP");
    };
    assert_eq!(read, *envelope, "over AMQP");
}

/// As the embedded broker keeps it.
pub(crate) fn stored(wire: &Wire) -> Wire {
    let json = serde_json::to_vec(wire).expect("texts and numbers are JSON");
    serde_json::from_slice(&json).expect("what was written")
}
