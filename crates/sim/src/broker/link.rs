//! A program's connection to the broker, which can be cut.

use super::channel::Consuming;
use super::lane;
use super::server::Server;
use crate::signal::Signal;
use broker::{Consumer, Publisher, QueueName};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A program's sessions with the broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Arc<Server>,
    publisher: Publisher,
    session: Signal<Session>,
    stop: CancellationToken,
    tasks: TaskTracker,
    aborts: Mutex<Vec<AbortHandle>>,
    channels: Mutex<Vec<u64>>,
}

/// Which session stands, if one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) epoch: u64,
    pub(super) is_up: bool,
}

impl Link {
    /// Connects. `stop` ends it as a program's own stop does.
    pub fn new(server: Arc<Server>, stop: CancellationToken) -> Self {
        let (publisher, lanes) = broker::publisher(2, 256);
        let link = Self(Arc::new(Inner {
            server,
            publisher,
            session: Signal::new(Session {
                epoch: 1,
                is_up: true,
            }),
            stop,
            tasks: TaskTracker::new(),
            aborts: Mutex::default(),
            channels: Mutex::default(),
        }));
        for lane in lanes {
            link.spawn(lane::serve(link.clone(), lane));
        }
        link
    }

    /// The publishing end.
    pub fn publisher(&self) -> Publisher {
        self.0.publisher.clone()
    }

    /// Starts to consume a queue.
    pub fn consumer(&self, queue: QueueName, prefetch: u16) -> Consumer {
        let (consumer, feed) = broker::consumer(prefetch);
        self.spawn(Consuming::new(self.clone(), queue, prefetch, feed).serve());
        consumer
    }

    /// Returns when every task has ended after the stop.
    pub async fn stopped(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Cuts the connection: nobody hears of what is in flight, and what is in hand goes back.
    pub fn cut(&self, away: Duration) {
        self.end_session();
        let link = self.clone();
        tokio::spawn(async move {
            sleep(away).await;
            link.0.session.change(|session| session.is_up = true);
        });
    }

    /// Ends the program as a kill does: its tasks are never polled again.
    pub fn kill(&self) {
        self.end_session();
        let mut aborts = self.0.aborts.lock().unwrap_or_else(PoisonError::into_inner);
        aborts.drain(..).for_each(|task| task.abort());
    }

    /// The broker closes the channels on which we consume, and nothing else.
    pub fn close_channels(&self) {
        let channels = std::mem::take(&mut *self.channels());
        channels
            .into_iter()
            .for_each(|channel| self.0.server.close(channel));
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.0.server
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    pub(super) fn open(&self, queue: QueueName, prefetch: u16) -> u64 {
        let channel = self.0.server.open(queue, prefetch);
        self.channels().push(channel);
        channel
    }

    /// Returns when this session is over.
    pub(super) async fn ended(&self, epoch: u64) {
        let session = &self.0.session;
        session.wait_for(|session| session.epoch != epoch).await;
    }

    /// Waits for the session that stands next, and returns its epoch.
    pub(super) async fn stands(&self) -> u64 {
        let session = &self.0.session;
        session.wait_for(|session| session.is_up).await.epoch
    }

    fn end_session(&self) {
        self.0.session.change(|session| {
            session.epoch += 1;
            session.is_up = false;
        });
        self.close_channels();
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.0.tasks.spawn(task);
        let mut aborts = self.0.aborts.lock().unwrap_or_else(PoisonError::into_inner);
        aborts.push(task.abort_handle());
    }

    fn channels(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.0
            .channels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
