//! Properties and headers as the embedded broker keeps them: JSON.

use bytes::Bytes;
use envelope::{Envelope, Wire};

use crate::Taken;
use crate::kept::{is_kept, stored};

const BODY: Bytes = Bytes::from_static(b"{\"orderId\":\"order_999\"}");

/// Reads a row. What it holds is written as the same, and an envelope read from it is kept.
pub fn wire(data: &[u8]) -> Taken {
    let Ok(wire) = serde_json::from_slice::<Wire>(data) else {
        return false;
    };
    assert_eq!(stored(&wire), wire);
    let Ok(envelope) = Envelope::read(&wire, BODY) else {
        return false;
    };
    is_kept(&envelope);
    true
}
