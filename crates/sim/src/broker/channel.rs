//! Consuming: sessions one after the other, each with `broker`'s own epoch in it.

use super::link::Link;
use super::server::{Latency, Server};
use broker::amqp::{Ack, Channel, Epoch, Handed, Holding};
use broker::{Feed, QueueName};
use futures_util::Stream;
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

pub(super) struct Consuming {
    link: Link,
    queue: QueueName,
    prefetch: u16,
    holding: Holding,
    feed: Feed,
}

impl Consuming {
    pub(super) fn new(link: Link, queue: QueueName, prefetch: u16, feed: Feed) -> Self {
        Self {
            link,
            holding: Holding::new(prefetch, queue.clone()),
            queue,
            prefetch,
            feed,
        }
    }

    /// Keeps a session until none is wanted any more.
    pub(super) async fn serve(mut self) {
        while let Some(epoch) = self.connect().await {
            if self.session(epoch).await {
                break;
            }
        }
        self.feed.close();
    }

    async fn connect(&self) -> Option<u64> {
        tokio::select! {
            biased;
            () = self.link.stop().cancelled() => None,
            () = self.feed.unwanted() => None,
            epoch = self.link.stands() => Some(epoch),
        }
    }

    async fn session(&mut self, epoch: u64) -> bool {
        let number = self.link.open(self.queue.clone(), self.prefetch);
        let server = self.link.server().clone();
        let channel = Open {
            link: self.link.clone(),
            epoch,
            number,
        };
        let stream = Box::pin(deliveries(server.clone(), number));
        let stop = self.link.stop().clone();
        let is_over = Epoch::new(&self.feed, &mut self.holding, channel)
            .run(stream, &stop)
            .await;
        server.close(number);
        is_over
    }
}

struct Open {
    link: Link,
    epoch: u64,
    number: u64,
}

impl Channel for Open {
    type Error = &'static str;

    async fn ended(&self) {
        self.link.ended(self.epoch).await;
    }

    async fn ack(&self, ack: Ack) -> Result<(), &'static str> {
        let is_open = self.link.server().ack(self.number, ack);
        is_open.then_some(()).ok_or("the channel is closed")
    }

    async fn cancel(&self) -> bool {
        self.link.server().is_open(self.number)
    }
}

/// What a channel is handed, until it is closed. Now and then the network takes a while, so that two
/// workers share a queue in many ways.
fn deliveries(
    server: Arc<Server>,
    channel: u64,
) -> impl Stream<Item = Result<Handed, Infallible>> + Send {
    unfold(server, move |server| async move {
        let handed = next(&server, channel).await?;
        Some((Ok(handed), server))
    })
}

async fn next(server: &Server, channel: u64) -> Option<Handed> {
    if server.latency() != Latency::None && fastrand::u8(..) < 32 {
        sleep(Duration::from_millis(fastrand::u64(1..4))).await;
    }
    loop {
        // Before looking, so that a change in between is not missed.
        let seen = server.changed().get();
        if let Some(handed) = server.hand_out(channel) {
            return Some(handed);
        }
        if !server.is_open(channel) {
            return None;
        }
        server.changed().wait_for(|now| *now != seen).await;
    }
}
