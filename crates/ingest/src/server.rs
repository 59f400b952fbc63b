//! Connections: accepted within bounds, served one by one, drained at the end.

use crate::Door;
use crate::receive::Answer;
use crate::refused::Refused;
use crate::reply;
use crate::timed::{Pace, Timed};
use crate::tls::Tls;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use ops::config::IngestConfig;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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

/// Serves webhooks until `stop`, then answers what is in flight, and returns. With `tls` nothing else is spoken.
pub async fn serve(
    listener: TcpListener,
    door: Arc<Door>,
    tls: Option<Tls>,
    stop: CancellationToken,
) {
    let protocol = protocol();
    let connections = Arc::new(Semaphore::new(
        door.bounds.connections_max.min(Semaphore::MAX_PERMITS),
    ));
    let draining = GracefulShutdown::new();
    loop {
        // Room first: a connection we have none for waits in the kernel's backlog, unaccepted.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections, &door.bounds) => accepted,
        };
        let Some((stream, peer, room)) = accepted else {
            continue;
        };
        let connection = Connection {
            door: door.clone(),
            peer: peer.ip(),
            protocol: protocol.clone(),
            watcher: draining.watcher(),
        };
        match tls.clone() {
            None => tokio::spawn(async move {
                connection.serve(stream).await;
                drop(room);
            }),
            // In the connection's own task, and within its room: whoever is slow here keeps nobody waiting.
            Some(tls) => {
                let stop = stop.clone();
                tokio::spawn(async move {
                    connection.serve_tls(&tls, stream, &stop).await;
                    drop(room);
                })
            }
        };
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

/// One connection, accepted.
struct Connection {
    door: Arc<Door>,
    peer: IpAddr,
    protocol: http1::Builder,
    watcher: Watcher,
}

impl Connection {
    /// Told to stop, it hangs up on whoever has asked nothing yet, as on an idle connection.
    async fn serve_tls(self, tls: &Tls, stream: TcpStream, stop: &CancellationToken) {
        let handshake = tls.handshake(stream, &self.door.events);
        if let Some(Some(stream)) = stop.run_until_cancelled(handshake).await {
            self.serve(stream).await;
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (door, peer) = (self.door, self.peer);
        let pace = Arc::new(Pace::new(door.admission.trusts(peer)));
        let stream = Timed::new(stream, pace.clone(), &door.bounds);
        let service = service_fn(move |request| {
            let (door, pace) = (door.clone(), pace.clone());
            async move {
                pace.begin();
                let Answer { reply, is_verified } = answer(&door, peer, request).await;
                pace.end(is_verified);
                Ok::<_, Infallible>(reply)
            }
        });
        let served = self
            .protocol
            .serve_connection(TokioIo::new(stream), service);
        // An error here is a peer that went away or broke the protocol; nobody is left to tell.
        let _ = self.watcher.watch(served).await;
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    bounds: &IngestConfig,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let room = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are single small writes: waiting to fill a segment would only delay them.
            let _ = stream.set_nodelay(true);
            #[cfg(target_os = "linux")]
            hang_up_where_answers_wait(&stream, bounds.answer_write_timeout);
            Some((stream, peer, room))
        }
        Err(why) => {
            warn!("cannot accept a connection: {why}");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// The library has no timeout for writing. Whoever sends request after request and reads none of the answers would
/// hold its connection for ever, with megabytes in the kernel's buffer. This is the kernel's own timer: it costs a
/// request nothing, and ends a connection to a peer that is gone as well.
#[cfg(target_os = "linux")]
fn hang_up_where_answers_wait(stream: &TcpStream, after: Duration) {
    let milliseconds = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    // A socket that does not know the option is one without this bound, and no reason to serve nobody.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds);
}

fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        // The stream has the timers.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(BUFFER_MAX_BYTES);
    protocol
}

async fn answer(door: &Door, peer: IpAddr, request: Request<Incoming>) -> Answer {
    // A panic must not take the connection's other requests with it.
    let answer = AssertUnwindSafe(door.receive(peer, request))
        .catch_unwind()
        .await;
    answer.unwrap_or_else(|_| {
        door.events.panicked();
        Answer {
            reply: reply::problem(&Refused::Defect, &reply::request_id(&HeaderMap::new())),
            is_verified: false,
        }
    })
}
