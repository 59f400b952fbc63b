//! ★ One request on one screen.

use crate::body::{self, Body};
use crate::events::Events;
use crate::refused::Refused;
use crate::reply::{self, Reply};
use crate::room::Room;
use crate::seal::{Received, seal};
use broker::{Confirmed, Destination, PublishError, Publisher};
use envelope::{Envelope, EventId, SourceName, UnixMicros};
use hyper::body::Incoming;
use hyper::{Method, Request, Uri};
use ops::config::{IngestConfig, Sources};
use signing::SigningKey;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::timeout;

/// Everything a request needs. Shared by all of them and changed by none.
#[derive(Debug)]
pub struct Door {
    /// Who may send, and what they sign with.
    pub sources: Sources,
    /// The way to the broker.
    pub publisher: Publisher,
    /// How much may be in flight.
    pub room: Room,
    /// The bounds and deadlines.
    pub bounds: IngestConfig,
    /// Metrics and log lines.
    pub events: Events,
}

impl Door {
    /// Takes a request and answers it. Never fails: every refusal is an answer.
    pub(crate) async fn receive(&self, request: Request<Incoming>) -> Reply {
        let started = Instant::now();
        let request_id = reply::request_id(request.headers());
        let source = self.source(request.uri());
        let taken = match source {
            Some((source, keys)) => self.take(source, keys, request).await,
            None => Err(Refused::UnknownSource),
        };
        let source = source.map(|(source, _)| source);
        self.events
            .answered(source, &request_id, &taken, started.elapsed());
        match taken {
            Ok((event_id, confirmed)) => reply::queued(&event_id, &request_id, confirmed),
            Err(why) => reply::problem(&why, &request_id),
        }
    }

    async fn take(
        &self,
        source: &SourceName,
        keys: &[SigningKey],
        request: Request<Incoming>,
    ) -> Result<(EventId, Confirmed), Refused> {
        if request.method() != Method::POST {
            return Err(Refused::Method);
        }
        let (head, incoming) = request.into_parts();
        let expected_bytes = body::expected_bytes(&head.headers, &self.bounds)?;
        // Held until the answer is on its way: it bounds what one burst can make us keep (I8).
        let _room = self.room.take(expected_bytes)?;
        let Body {
            bytes,
            last_byte_at,
        } = body::read(incoming, &self.bounds).await?;

        let received_at = UnixMicros::from(SystemTime::now());
        let header = |name| {
            head.headers
                .get_all(name)
                .iter()
                .map(|value| value.as_bytes())
        };
        let verified = signing::verify(keys, header, &bytes, received_at.seconds())?;
        self.events.verified(source, &verified, received_at);

        let received = Received {
            source,
            headers: &head.headers,
            body: bytes,
            received_at,
        };
        let envelope = seal(&verified, received);
        let event_id = envelope.event_id.clone();
        let confirmed = self.publish(envelope, last_byte_at).await?;
        Ok((event_id, confirmed))
    }

    /// Waits for the confirm until the answer is due. What is not confirmed by then may be stored all the
    /// same: the sender's next try is a duplicate, never a loss.
    async fn publish(
        &self,
        envelope: Envelope,
        last_byte_at: Instant,
    ) -> Result<Confirmed, PublishError> {
        let left = self
            .bounds
            .answer_deadline
            .saturating_sub(last_byte_at.elapsed());
        let started = Instant::now();
        let verdict = timeout(left, self.publisher.publish(Destination::Events, envelope)).await;
        let verdict = verdict.unwrap_or(Err(PublishError::NoVerdict));
        self.events.published(&verdict, started.elapsed());
        verdict
    }

    /// `/webhooks/{source}`, or `/webhook` for the source `default`.
    fn source(&self, uri: &Uri) -> Option<(&SourceName, &[SigningKey])> {
        let name = match uri.path() {
            "/webhook" => "default",
            path => path.strip_prefix("/webhooks/")?,
        };
        let (source, keys) = self.sources.get_key_value(&name.parse().ok()?)?;
        Some((source, keys))
    }

    /// How long a stop waits for requests in flight.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.bounds.drain_timeout
    }
}
