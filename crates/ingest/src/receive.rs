//! ★ One request on one screen.

use crate::admission::Admission;
use crate::backlog::Backlog;
use crate::body::{self, Body};
use crate::events::Events;
use crate::refused::Refused;
use crate::reply::{self, Reply};
use crate::room::Room;
use crate::seal::{Received, seal};
use crate::store::Stored;
use broker::{Publisher, Spool};
use envelope::{EventId, SourceName, UnixMicros};
use hyper::body::Incoming;
use hyper::{Method, Request, Uri};
use ops::config::{IngestConfig, Sources};
use signing::Verifier;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

/// Everything a request needs. Shared by all of them and changed by none.
#[derive(Debug)]
pub struct Door {
    /// Who may send, and what they sign with.
    pub sources: Sources,
    /// From where they may send, and how often.
    pub admission: Admission,
    /// The way to the broker.
    pub publisher: Publisher,
    /// Where to keep what the broker does not take; off by default.
    pub spool: Option<Spool>,
    /// How much waits behind the door already.
    pub backlog: Backlog,
    /// How much may be in flight.
    pub room: Room,
    /// The bounds and deadlines.
    pub bounds: IngestConfig,
    /// Metrics and log lines.
    pub events: Events,
}

/// What a request is told.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    /// Whether its signature was good, whatever became of it then.
    pub(crate) is_verified: bool,
}

impl Door {
    /// Takes a request and answers it. Never fails: every refusal is an answer.
    pub(crate) async fn receive(&self, peer: IpAddr, request: Request<Incoming>) -> Answer {
        let started = Instant::now();
        let request_id = reply::request_id(request.headers());
        let source = self.source(request.uri());
        let taken = match source {
            Some((source, verifier)) => self.take(source, verifier, peer, request).await,
            None => Err(Refused::UnknownSource),
        };
        let source = source.map(|(source, _)| source);
        self.events
            .answered(source, &request_id, &taken, started.elapsed());
        let is_verified = taken.as_ref().map_or_else(Refused::is_verified, |_| true);
        let reply = match taken {
            Ok((id, Stored::Queued(proof))) => reply::queued(&id, &request_id, proof),
            Ok((id, Stored::Spooled(proof))) => reply::spooled(&id, &request_id, proof),
            Err(why) => reply::problem(&why, &request_id),
        };
        Answer { reply, is_verified }
    }

    async fn take(
        &self,
        source: &SourceName,
        verifier: &Verifier,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Result<(EventId, Stored), Refused> {
        self.admission
            .check_address(source, peer, request.headers())?;
        if request.method() != Method::POST {
            return Err(Refused::Method);
        }
        self.admission.check_rate(source)?;
        self.backlog.check()?;
        let (head, incoming) = request.into_parts();
        let expected_bytes = body::expected_bytes(&head.headers, &self.bounds)?;
        self.room.check(expected_bytes)?;
        // Both are held until the answer is on its way: they bound what one burst can make us keep (I8).
        let Body {
            bytes,
            last_byte_at,
            held: _held,
        } = body::read(incoming, &self.bounds, &self.room).await?;
        let _room = self.room.take_request()?;

        let received_at = UnixMicros::from(SystemTime::now());
        let header = |name| {
            head.headers
                .get_all(name)
                .iter()
                .map(|value| value.as_bytes())
        };
        let verified = signing::verify(verifier, header, &bytes, received_at.seconds())?;
        self.events.verified(source, &verified, received_at);

        let received = Received {
            source,
            headers: &head.headers,
            body: bytes,
            received_at,
        };
        let envelope = seal(&verified, received);
        let event_id = envelope.event_id.clone();
        let stored = self.store(envelope, last_byte_at).await?;
        Ok((event_id, stored))
    }

    /// `/webhooks/{source}`, or `/webhook` for the source `default`.
    fn source(&self, uri: &Uri) -> Option<(&SourceName, &Verifier)> {
        let name = match uri.path() {
            "/webhook" => "default",
            path => path.strip_prefix("/webhooks/")?,
        };
        let (source, verifier) = self.sources.get_key_value(&name.parse().ok()?)?;
        Some((source, verifier))
    }

    /// How long a stop waits for requests in flight.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.bounds.drain_timeout
    }
}
