//! A verified request becomes an envelope.

use bytes::Bytes;
use envelope::{Attempt, ContentType, Envelope, SourceName, TraceParent, UnixMicros};
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use signing::Verified;

/// What else there is to a request than its signature.
pub(crate) struct Received<'a> {
    pub(crate) source: &'a SourceName,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) received_at: UnixMicros,
}

/// Every text in the envelope is bounded by its type: nothing a sender writes can break an AMQP frame.
pub(crate) fn seal(verified: &Verified, received: Received<'_>) -> Envelope {
    let header = |name| {
        received
            .headers
            .get(name)
            .map(|value: &hyper::header::HeaderValue| value.as_bytes())
    };
    Envelope {
        event_id: verified.event_id().clone(),
        source: received.source.clone(),
        body: received.body,
        content_type: header(CONTENT_TYPE.as_str()).and_then(ContentType::from_bytes),
        received_at: received.received_at,
        signed_at: verified.signed_at(),
        signature_digest: verified.digest(),
        attempt: Attempt::FIRST,
        parked: 0,
        replays: 0,
        note: None,
        traceparent: header("traceparent").and_then(TraceParent::from_bytes),
    }
}
