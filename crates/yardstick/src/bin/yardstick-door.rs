//! The least ingest: verifies an HMAC over hyper, publishes to one queue, awaits the confirm. One connection, sixteen
//! channels in turn.
//!
//! `AMQP_URL`, `QUEUE` (the routing key), `SECRET`; `EXCHANGE` the default one, `PORT` 8080, `CHANNELS` 16,
//! `THREADS` 2. Requests go to `/hook`.

use anyhow::{Context, Result};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use sha2::Sha256;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use yardstick::{required, setting};

struct Door {
    key: Hmac<Sha256>,
    exchange: String,
    queue: String,
    channels: Vec<Channel>,
    next: AtomicUsize,
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(setting("THREADS", 2))
        .enable_all()
        .build()?
        .block_on(serve())
}

async fn serve() -> Result<()> {
    let url = required("AMQP_URL")?;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let mut channels = Vec::new();
    for _ in 0..setting("CHANNELS", 16) {
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        channels.push(channel);
    }
    let door = Arc::new(Door {
        key: Hmac::new_from_slice(required("SECRET")?.as_bytes())?,
        exchange: setting("EXCHANGE", String::new()),
        queue: required("QUEUE")?,
        channels,
        next: AtomicUsize::new(0),
    });
    let listener = TcpListener::bind(("127.0.0.1", setting("PORT", 8080))).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let door = door.clone();
        let answer = service_fn(move |request| answer(door.clone(), request));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new());
        tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
    }
}

async fn answer(
    door: Arc<Door>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let status = match door.take(request).await {
        Ok(true) => StatusCode::ACCEPTED,
        Ok(false) => StatusCode::SERVICE_UNAVAILABLE,
        Err(_) => StatusCode::FORBIDDEN,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

impl Door {
    /// Whether the broker has confirmed it; an error where it is not from whom it says.
    async fn take(&self, request: Request<Incoming>) -> Result<bool> {
        let (head, body) = request.into_parts();
        let header = |name| -> Result<String> {
            let value = head.headers.get(name).context("a header is missing")?;
            Ok(value.to_str()?.to_owned())
        };
        let (id, timestamp, signature) = (
            header("x-event-id")?,
            header("x-timestamp")?,
            header("x-signature")?,
        );
        let body = body.collect().await?.to_bytes();
        self.verify(&timestamp, &body, &signature)?;
        self.publish(id, timestamp, &body).await
    }

    fn verify(&self, timestamp: &str, body: &[u8], signature: &str) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        anyhow::ensure!(now.abs_diff(timestamp.parse()?) <= 300, "stale");
        let digits = signature.strip_prefix("sha256=").context("no signature")?;
        let mut mac = self.key.clone();
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        Ok(mac.verify_slice(&hex::decode(digits)?)?)
    }

    async fn publish(&self, id: String, timestamp: String, body: &[u8]) -> Result<bool> {
        let mut headers = FieldTable::default();
        headers.insert(
            "x-timestamp".into(),
            AMQPValue::LongString(LongString::from(timestamp)),
        );
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(id.into())
            .with_headers(headers);
        let channel =
            &self.channels[self.next.fetch_add(1, Ordering::Relaxed) % self.channels.len()];
        let publishing = channel.basic_publish(
            self.exchange.as_str().into(),
            self.queue.as_str().into(),
            BasicPublishOptions::default(),
            body,
            properties,
        );
        Ok(matches!(publishing.await?.await?, Confirmation::Ack(None)))
    }
}
