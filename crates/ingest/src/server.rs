//! Connections: accepted within bounds, served one by one, drained at the end.

use crate::Door;
use crate::refused::Refused;
use crate::reply;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use ops::config::IngestConfig;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Header lines in one request; providers send about twenty.
const HEADERS_MAX: usize = 64;
/// All header bytes of one request. Above it the library answers 431 on its own.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// The read buffer of one connection. The library's default is 400 kB, times thousands of connections.
const BUFFER_MAX_BYTES: usize = 32 * 1024;
/// The pause after the kernel had no file descriptor for us; without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves webhooks until `stop`, then answers what is in flight, and returns.
pub async fn serve(listener: TcpListener, door: Arc<Door>, stop: CancellationToken) {
    let protocol = protocol(&door.bounds);
    let connections = Arc::new(Semaphore::new(
        door.bounds.connections_max.min(Semaphore::MAX_PERMITS),
    ));
    let draining = GracefulShutdown::new();
    loop {
        // Room first: a connection we have none for waits in the kernel's backlog, unaccepted.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, room)) = accepted else {
            continue;
        };
        let door = door.clone();
        let service = service_fn(move |request| answer(door.clone(), request));
        let connection = draining.watch(protocol.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // An error here is a peer that went away or broke the protocol; nobody is left to tell.
            let _ = connection.await;
            drop(room);
        });
    }
    drop(listener);
    if timeout(door.drain_timeout(), draining.shutdown())
        .await
        .is_err()
    {
        warn!(
            "stopped with requests in flight: they took longer than {:?}",
            door.drain_timeout()
        );
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let room = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are single small writes: waiting to fill a segment would only delay them.
            let _ = stream.set_nodelay(true);
            Some((stream, room))
        }
        Err(why) => {
            warn!("cannot accept a connection: {why}");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn protocol(bounds: &IngestConfig) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        // Without a timer the header timeout is silently off.
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_read_timeout)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(BUFFER_MAX_BYTES);
    protocol
}

async fn answer(door: Arc<Door>, request: Request<Incoming>) -> Result<reply::Reply, Infallible> {
    // A panic must not take the connection's other requests with it.
    let reply = AssertUnwindSafe(door.receive(request)).catch_unwind().await;
    Ok(reply.unwrap_or_else(|_| {
        door.events.panicked();
        reply::problem(&Refused::Defect, &reply::request_id(&HeaderMap::new()))
    }))
}
