//! The answers, byte for byte what senders rely on.

use crate::refused::Refused;
use broker::{Confirmed, Spooled};
use bytes::Bytes;
use envelope::EventId;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;

/// An answer with its whole body.
pub(crate) type Reply = Response<Full<Bytes>>;

/// Names one request in the answer and in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken<'a> {
    message: &'a str,
    event_id: &'a str,
}

/// RFC 9457.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
}

/// The sender's own request id where it is a short word, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    let sent = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let usable = |id: &&str| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(word);
    sent.filter(usable)
        .map_or_else(|| format!("{:016x}", fastrand::u64(..)), str::to_owned)
}

/// 200. It takes the broker's confirm to make one (I1).
pub(crate) fn queued(event_id: &EventId, request_id: &str, confirmed: Confirmed) -> Reply {
    drop(confirmed);
    let message = "Event received and queued";
    taken(StatusCode::OK, message, event_id, request_id)
}

/// 202. It takes the spool's fsync to make one (I1).
pub(crate) fn spooled(event_id: &EventId, request_id: &str, spooled: Spooled) -> Reply {
    drop(spooled);
    let message = "Event accepted and spooled";
    taken(StatusCode::ACCEPTED, message, event_id, request_id)
}

fn taken(status: StatusCode, message: &str, event_id: &EventId, request_id: &str) -> Reply {
    let event_id = event_id.as_str();
    let body = Taken { message, event_id };
    json(status, "application/json", &body, request_id)
}

/// 4xx or 5xx.
pub(crate) fn problem(why: &Refused, request_id: &str) -> Reply {
    let status = why.status();
    let body = Problem {
        // RFC 9457 §4.2.1: no more to say than the status itself.
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: &why.detail(),
        request_id,
    };
    let mut reply = json(status, "application/problem+json", &body, request_id);
    if let Some(seconds) = why.retry_after_seconds() {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        reply
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
    }
    reply
}

fn json(
    status: StatusCode,
    content_type: &'static str,
    body: &impl Serialize,
    request_id: &str,
) -> Reply {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut reply = Response::new(Full::new(Bytes::from(bytes)));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        reply.headers_mut().insert(REQUEST_ID, id);
    }
    reply
}
