//! Consuming: one task owns the channel, hands deliveries out and is the only one that acks.

use super::epoch::{self, Epoch, Handed};
use super::holding::Holding;
use super::properties;
use super::session::{Link, OpenError, Session, SessionWork, bounded};
use super::watermark::Ack;
use crate::in_hand::HandBook;
use crate::{Feed, QueueName};
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Keeps a queue consumed until its consumer is closed or dropped.
pub(super) async fn supervise(
    link: Arc<Link>,
    queue: QueueName,
    prefetch: u16,
    feed: Feed,
    book: HandBook,
) {
    let purpose = format!("consuming {queue}");
    let mut work = Consuming {
        holding: Holding::in_book(prefetch, queue.clone(), book),
        queue,
        prefetch,
        feed,
        stop: link.stop.clone(),
    };
    link.keep_open(&purpose, &mut work).await;
    drop(work.holding);
    work.feed.close();
}

struct Consuming {
    queue: QueueName,
    prefetch: u16,
    holding: Holding,
    feed: Feed,
    stop: CancellationToken,
}

impl SessionWork for Consuming {
    const CONNECTION: &'static str = "consuming";
    const CONSUMES: bool = true;

    async fn run(&mut self, session: &Session) -> bool {
        match self.open(session).await {
            Ok((channel, stream)) => {
                let channel = Consumed {
                    session,
                    channel,
                    consumer_tag: stream.tag(),
                };
                let stream = stream.map(|delivery| delivery.map(handed));
                let done = Epoch::new(&self.feed, &mut self.holding, channel)
                    .run(stream, &self.stop)
                    .await;
                self.holding.cancelled();
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

/// RabbitMQ's channel, as an epoch needs it.
struct Consumed<'a> {
    session: &'a Session,
    channel: Channel,
    consumer_tag: ShortString,
}

impl epoch::Channel for Consumed<'_> {
    type Error = lapin::Error;

    async fn ended(&self) {
        self.session.ended().await;
    }

    async fn ack(&self, Ack { tag, multiple }: Ack) -> Result<(), lapin::Error> {
        let options = BasicAckOptions { multiple };
        self.channel.basic_ack(tag, options).await
    }

    async fn cancel(&self) -> bool {
        let tag = self.consumer_tag.clone();
        let cancelling = self.channel.basic_cancel(tag, Default::default());
        bounded("basic.cancel", cancelling).await.is_ok()
    }
}

fn handed(delivery: lapin::message::Delivery) -> Handed {
    let tag = delivery.delivery_tag;
    let (content, delivery_count) = properties::read(delivery);
    Handed {
        tag,
        content,
        delivery_count,
    }
}
