//! How long a sender may take over a request's head, and rest before the next one.
//!
//! The library has one timer for both, and they want different answers: a head that takes seconds is a sender to be
//! hung up on, and a connection that rests is one to keep for longer than whoever holds its other end does. Otherwise a
//! request that sets out as we close has no answer, and a balancer makes a 502 of it. So the timers are here, around
//! the stream, and the library has none.

use ops::config::IngestConfig;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A head is due or being read.
const HEAD: u32 = 0;
/// A request is being answered; that has deadlines of its own.
const BUSY: u32 = 1;
/// The connection rests between two requests.
const RESTING: u32 = 2;
const PHASES: u32 = 4;

/// What a connection is doing: the phase, and the number of answers before it. Set by whoever answers the connection's
/// requests, read by its stream; both are one task.
#[derive(Debug)]
pub(crate) struct Pace {
    phase: AtomicU32,
    may_rest: AtomicBool,
}

impl Pace {
    /// A connection that has just been accepted.
    pub(crate) fn new(may_rest: bool) -> Self {
        Self {
            phase: AtomicU32::new(HEAD),
            may_rest: AtomicBool::new(may_rest),
        }
    }

    /// A request's head is there.
    pub(crate) fn begin(&self) {
        self.enter(BUSY);
    }

    /// Its answer is on its way. Who has shown a good signature may rest from now on. A stranger has to be as quick
    /// with the next head as with the first: to hold a connection for longer takes a secret.
    pub(crate) fn end(&self, is_verified: bool) {
        self.may_rest.fetch_or(is_verified, Ordering::Relaxed);
        self.phase.fetch_add(PHASES, Ordering::Relaxed);
        let may_rest = self.may_rest.load(Ordering::Relaxed);
        self.enter(if may_rest { RESTING } else { HEAD });
    }

    fn enter(&self, phase: u32) {
        let answers = self.now() / PHASES;
        self.phase
            .store(answers * PHASES + phase, Ordering::Relaxed);
    }

    fn now(&self) -> u32 {
        self.phase.load(Ordering::Relaxed)
    }
}

/// A stream whose reads fail once its sender has taken too long.
#[derive(Debug)]
pub(crate) struct Timed<S> {
    stream: S,
    pace: Arc<Pace>,
    head: Duration,
    rest: Duration,
    /// Made for the first read that has to wait, and what it runs for.
    timer: Option<(Pin<Box<Sleep>>, u32)>,
}

impl<S> Timed<S> {
    pub(crate) fn new(stream: S, pace: Arc<Pace>, bounds: &IngestConfig) -> Self {
        Self {
            stream,
            pace,
            head: bounds.header_read_timeout,
            rest: bounds.keep_alive_timeout,
            timer: None,
        }
    }

    /// Ready once the sender has taken too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.pace.now();
        let patience = match now % PHASES {
            HEAD => self.head,
            RESTING => self.rest,
            _ => return Poll::Pending,
        };
        let (timer, runs_for) = self
            .timer
            .get_or_insert_with(|| (Box::pin(sleep(patience)), now));
        if *runs_for != now {
            *runs_for = now;
            timer.as_mut().reset(Instant::now() + patience);
        }
        timer.as_mut().poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Ready(_) => {
                let is_some = buffer.filled().len() > before;
                if is_some && self.pace.now() % PHASES == RESTING {
                    self.pace.enter(HEAD);
                }
                read
            }
            Poll::Pending => self
                .poll_late(cx)
                .map(|()| Err(Error::from(ErrorKind::TimedOut))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    const HEAD_TIME: Duration = Duration::from_secs(5);
    const REST: Duration = Duration::from_secs(75);

    struct Line {
        timed: Timed<DuplexStream>,
        pace: Arc<Pace>,
        sender: DuplexStream,
    }

    impl Line {
        fn new() -> Self {
            let (stream, sender) = duplex(64);
            let pace = Arc::new(Pace::new(false));
            let timed = Timed {
                stream,
                pace: pace.clone(),
                head: HEAD_TIME,
                rest: REST,
                timer: None,
            };
            Self {
                timed,
                pace,
                sender,
            }
        }

        async fn hears(&mut self, text: &str) {
            self.sender.write_all(text.as_bytes()).await.unwrap();
            let mut bytes = vec![0; text.len()];
            self.timed.read_exact(&mut bytes).await.unwrap();
        }

        /// Nothing comes until the line gives up; after how long it does.
        async fn gives_up(&mut self) -> Option<Duration> {
            let started = Instant::now();
            let silence = timeout(10 * REST, self.timed.read_u8()).await.ok()?;
            assert_eq!(silence.unwrap_err().kind(), ErrorKind::TimedOut);
            Some(started.elapsed())
        }

        async fn is_heard_nothing_for(&mut self, seconds: u64) {
            let pause = Duration::from_secs(seconds);
            assert!(timeout(pause, self.timed.read_u8()).await.is_err());
        }
    }

    /// The timer has a resolution of a millisecond.
    fn check(took: Option<Duration>, expected: Duration) {
        let took = took.expect("the line never gives up");
        let late = took.saturating_sub(expected);
        assert!(
            took >= expected && late <= Duration::from_millis(2),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_the_beginning_however_its_bytes_come() {
        let mut line = Line::new();
        line.is_heard_nothing_for(2).await;
        line.hears("POST").await;
        line.is_heard_nothing_for(2).await;
        line.hears("POST").await;
        check(line.gives_up().await, HEAD_TIME - Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_being_answered_has_no_time_of_ours() {
        let mut line = Line::new();
        line.is_heard_nothing_for(1).await;
        line.hears("head").await;
        line.pace.begin();
        assert_eq!(line.gives_up().await, None);
        line.hears("body").await;
        assert_eq!(line.gives_up().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_known_rests_and_is_then_as_quick_as_anybody() {
        let mut line = Line::new();
        for number in 0..3 {
            line.hears("request").await;
            line.pace.begin();
            // Known once is known for good.
            line.pace.end(number == 0);
            line.is_heard_nothing_for(60).await;
        }
        line.hears("half a he").await;
        check(line.gives_up().await, HEAD_TIME);

        let mut line = Line::new();
        line.hears("request").await;
        line.pace.begin();
        line.pace.end(true);
        check(line.gives_up().await, REST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_the_time_of_a_head_after_every_answer() {
        let mut line = Line::new();
        for _ in 0..3 {
            line.is_heard_nothing_for(4).await;
            line.hears("request").await;
            line.pace.begin();
            line.pace.end(false);
        }
        check(line.gives_up().await, HEAD_TIME);
    }
}
