//! A delivery as it lies on the wire of AMQP: properties, then the body.

use broker::Content;
use broker::amqp::from_bytes;
use envelope::Envelope;

use crate::Taken;
use crate::kept::{is_kept, stored};

/// Reads a delivery. One that is ours is read as the same again; one that is not is kept whole, and for one reason.
pub fn amqp(data: &[u8]) -> Taken {
    match from_bytes(data) {
        None => false,
        Some(Content::Event(envelope)) => {
            assert!(data.ends_with(&envelope.body), "the body is cut elsewhere");
            is_kept(&envelope);
            true
        }
        Some(Content::Foreign { wire, body, why }) => {
            assert!(data.ends_with(&body), "the body is cut elsewhere");
            assert_eq!(stored(&wire), wire);
            assert_eq!(Envelope::read(&wire, body), Err(why), "{wire:?}");
            false
        }
    }
}
