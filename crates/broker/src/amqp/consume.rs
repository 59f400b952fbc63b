//! Consuming: one task owns the channel, hands deliveries out and is the only one that acks.

use super::properties;
use super::session::{Link, OpenError, Session, SessionWork, bounded};
use super::watermark::{Ack, Watermark};
use crate::in_hand::{HandBook, HandLine};
use crate::{Delivery, Ending, Feed, Hand, QueueName, Tag};
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Keeps a queue consumed until its consumer is closed or dropped.
pub(super) async fn supervise(link: Arc<Link>, mut work: Consuming) {
    let purpose = format!("consuming {}", work.queue);
    link.keep_open(&purpose, &mut work).await;
    drop(work.line);
    work.feed.close();
}

/// One consumer, over all its sessions.
pub(super) struct Consuming {
    queue: QueueName,
    prefetch: u16,
    feed: Feed,
    hands: HandBook,
    /// What the last session held. Kept until the next begins: what was released, or not settled in time, is
    /// still the broker's only once the session is closed.
    line: Option<HandLine>,
    stop: CancellationToken,
}

impl SessionWork for Consuming {
    const CONSUMES: bool = true;

    async fn run(&mut self, session: &Session) -> bool {
        match self.open(session).await {
            Ok((channel, stream)) => {
                // The old one first: what it held is the broker's again.
                drop(self.line.take());
                let line = self.line.insert(self.hands.begin(&self.queue));
                let done = Epoch::new(&self.feed, self.prefetch, channel, line)
                    .run(session, stream, &self.stop)
                    .await;
                line.cancelled();
                done
            }
            Err(why) => {
                warn!("cannot consume {}: {why}", self.queue);
                false
            }
        }
    }

    async fn meanwhile(&mut self) {
        self.feed.unwanted().await;
    }
}

impl Consuming {
    pub(super) fn new(
        queue: QueueName,
        prefetch: u16,
        feed: Feed,
        hands: HandBook,
        stop: CancellationToken,
    ) -> Self {
        Self {
            queue,
            prefetch,
            feed,
            hands,
            line: None,
            stop,
        }
    }

    async fn open(&self, session: &Session) -> Result<(Channel, Consumer), OpenError> {
        let channel = session.channel().await?;
        let qos = channel.basic_qos(self.prefetch, BasicQosOptions { global: false });
        bounded("basic.qos", qos).await?;
        let options = BasicConsumeOptions {
            // An automatic ack erases an event before anybody has applied it.
            no_ack: false,
            // Several workers share a queue.
            exclusive: false,
            no_local: false,
            nowait: false,
        };
        let consuming = channel.basic_consume(
            self.queue.as_str().into(),
            "".into(),
            options,
            FieldTable::default(),
        );
        let stream = bounded("basic.consume", consuming).await?;
        Ok((channel, stream))
    }
}

/// The deliveries of one session. Its hand dies with it, and so do endings that come too late.
struct Epoch<'a> {
    feed: &'a Feed,
    channel: Channel,
    hand: Arc<Hand>,
    settled: Arc<Notify>,
    watermark: Watermark,
    line: &'a HandLine,
    /// Handed out by the broker and not yet taken by the consumer's channel; bounded by the prefetch.
    waiting: VecDeque<Delivery>,
}

impl<'a> Epoch<'a> {
    fn new(feed: &'a Feed, prefetch: u16, channel: Channel, line: &'a HandLine) -> Self {
        let settled = Arc::new(Notify::new());
        let wake = settled.clone();
        Self {
            feed,
            channel,
            hand: Hand::new(move || wake.notify_one()),
            settled,
            watermark: Watermark::new(prefetch),
            line,
            waiting: VecDeque::new(),
        }
    }

    /// True when no further session is wanted.
    async fn run(
        mut self,
        session: &Session,
        mut stream: Consumer,
        stop: &CancellationToken,
    ) -> bool {
        let mut reading = true;
        while reading || self.watermark.held() > 0 {
            tokio::select! {
                biased;
                () = session.ended() => return !reading,
                // Whoever stops the broker has settled what it will settle; the rest is requeued.
                () = stop.cancelled() => {
                    let _ = self.ack_settled().await;
                    break;
                }
                () = self.settled.notified() => {
                    if self.ack_settled().await.is_err() {
                        return !reading;
                    }
                }
                () = gap_lasted(self.watermark.due()) => {
                    if self.ack_settled().await.is_err() {
                        return !reading;
                    }
                }
                permit = self.feed.deliveries.reserve(), if !self.waiting.is_empty() => {
                    if let (Ok(permit), Some(delivery)) = (permit, self.waiting.pop_front()) {
                        permit.send(delivery);
                    }
                }
                () = self.feed.unwanted(), if reading => {
                    reading = false;
                    // Nobody will take these; dropping them releases them.
                    self.waiting.clear();
                    if !self.cancel(&stream).await {
                        return true;
                    }
                }
                delivery = stream.next(), if reading => match delivery {
                    Some(Ok(delivery)) => self.hand_out(delivery),
                    Some(Err(why)) => {
                        warn!("the consumer's channel ended: {why}");
                        return false;
                    }
                    // The broker cancelled the consumer: its queue was deleted, or its leader moved.
                    None => return false,
                },
            }
        }
        let acks = self.watermark.last_acks();
        // The session ends either way; what could not be acked is delivered again, a duplicate.
        let _ = self.send(acks).await;
        true
    }

    fn hand_out(&mut self, delivery: lapin::message::Delivery) {
        let tag = delivery.delivery_tag;
        self.watermark.deliver(tag);
        let (content, count) = properties::read(delivery);
        self.line.take(content.received_at());
        self.waiting
            .push_back(Delivery::new(content, count, self.hand.clone(), tag));
    }

    async fn ack_settled(&mut self) -> Result<(), lapin::Error> {
        let settled = self.hand.take_settled();
        let acked = |(tag, ending): &(Tag, Ending)| (*ending == Ending::Ack).then_some(*tag);
        self.line.give(settled.iter().filter_map(acked));
        for (tag, ending) in settled {
            self.watermark.settle(tag, ending);
        }
        let acks = self.watermark.acks(Instant::now());
        self.send(acks).await
    }

    async fn send(&self, acks: Vec<Ack>) -> Result<(), lapin::Error> {
        for Ack { tag, multiple } in acks {
            self.channel
                .basic_ack(tag, BasicAckOptions { multiple })
                .await?;
        }
        Ok(())
    }

    async fn cancel(&self, stream: &Consumer) -> bool {
        let cancelling = self.channel.basic_cancel(stream.tag(), Default::default());
        self.line.cancelled();
        bounded("basic.cancel", cancelling).await.is_ok()
    }
}

async fn gap_lasted(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
