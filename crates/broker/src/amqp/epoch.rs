//! The deliveries of one session, from the broker's hand to its acks.
//!
//! It says nothing of RabbitMQ's client: what it needs of a channel is [`Channel`], which the simulation
//! (`crates/sim`) has as well, so that what decides about acks is the same code in both.

use super::holding::Holding;
use super::watermark::Ack;
use crate::{Content, Delivery, Feed, Tag};
use futures_util::{FutureExt, Stream, StreamExt};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::time::Instant;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A channel that consumes, as far as its epoch needs it.
pub trait Channel {
    /// Why it can no longer be told anything.
    type Error: fmt::Display;

    /// Returns when the session it belongs to has ended.
    fn ended(&self) -> impl Future<Output = ()> + Send;

    /// Acks.
    fn ack(&self, ack: Ack) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Asks for no more deliveries; false where the channel is gone.
    fn cancel(&self) -> impl Future<Output = bool> + Send;
}

/// What a channel hands out.
#[derive(Debug)]
pub struct Handed {
    /// The channel's number for it, from 1 and without gaps.
    pub tag: Tag,
    /// What is inside.
    pub content: Content,
    /// How often it was handed out before.
    pub delivery_count: u32,
}

/// One session of a consumer.
#[derive(Debug)]
pub struct Epoch<'a, C> {
    feed: &'a Feed,
    channel: C,
    holding: &'a mut Holding,
    /// Handed out by the broker and not yet taken by the consumer's channel; bounded by the prefetch.
    waiting: VecDeque<Delivery>,
}

impl<'a, C: Channel> Epoch<'a, C> {
    /// Begins one: whatever was in hand belongs to a session that is over.
    pub fn new(feed: &'a Feed, holding: &'a mut Holding, channel: C) -> Self {
        holding.renew();
        Self {
            feed,
            channel,
            holding,
            waiting: VecDeque::new(),
        }
    }

    /// Hands out and acks until the session ends. True when no further one is wanted.
    pub async fn run<E: fmt::Display>(
        mut self,
        mut stream: impl Stream<Item = Result<Handed, E>> + Send + Unpin,
        stop: &CancellationToken,
    ) -> bool {
        let mut reading = true;
        while reading || self.holding.held() > 0 {
            tokio::select! {
                biased;
                () = self.channel.ended() => return !reading,
                // Whoever stops the broker has settled what it will settle; the rest is requeued.
                () = stop.cancelled() => {
                    let _ = self.ack_settled().await;
                    break;
                }
                () = self.holding.settled() => {
                    if self.ack_settled().await.is_err() {
                        return !reading;
                    }
                }
                () = gap_lasted(self.holding.due()) => {
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
                    self.holding.cancelled();
                    if !self.channel.cancel().await {
                        return true;
                    }
                }
                handed = stream.next(), if reading => if !self.take(handed, &mut stream) {
                    return false;
                },
            }
        }
        let acks = self.holding.last_acks();
        // The session ends either way; what could not be acked is delivered again, a duplicate.
        let _ = self.send(acks).await;
        true
    }

    /// Takes a delivery and every other one that is there: a broker sends many at once, and a round of the loop
    /// costs more than a delivery does. False where no more will come.
    fn take<E: fmt::Display>(
        &mut self,
        mut handed: Option<Result<Handed, E>>,
        stream: &mut (impl Stream<Item = Result<Handed, E>> + Unpin),
    ) -> bool {
        loop {
            match handed {
                Some(Ok(handed)) => self.waiting.push_back(self.holding.hand_out(handed)),
                Some(Err(why)) => {
                    warn!("the consumer's channel ended: {why}");
                    return false;
                }
                // The broker cancelled the consumer: its queue was deleted, or its leader moved.
                None => return false,
            }
            match stream.next().now_or_never() {
                Some(next) => handed = next,
                None => break,
            }
        }
        self.pass_on();
        true
    }

    /// Gives the consumer's channel what it has room for.
    fn pass_on(&mut self) {
        while let Some(delivery) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(back)) = self.feed.deliveries.try_send(delivery) {
                self.waiting.push_front(back);
                return;
            }
        }
    }

    async fn ack_settled(&mut self) -> Result<(), C::Error> {
        let now = tokio::time::Instant::now().into_std();
        let acks = self.holding.acks(now);
        self.send(acks).await
    }

    async fn send(&self, acks: Vec<Ack>) -> Result<(), C::Error> {
        for ack in acks {
            self.channel.ack(ack).await?;
        }
        Ok(())
    }
}

async fn gap_lasted(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
