//! The journal read from its stream, over AMQP 0-9-1: a consumer that begins at an offset and whose acks are
//! credit and nothing else.
//!
//! Two things are not said over AMQP 0-9-1: where the stream ends, and that there is nothing left to wait
//! for. Both are found with what the broker does say in order: a stream's readers are served by the channel
//! itself, so the answer to a question on that channel comes after every entry there was credit for. (The
//! message count of a passive declaration is no use: it is seconds old.)

use super::look::passive;
use super::properties;
use super::session::{Link, OpenError, Session, bounded};
use crate::journal::{JournalFeed, Unwanted};
use crate::{Entry, JournalError, JournalStart, Position, QueueName};
use envelope::UnixMicros;
use futures_util::future::FutureExt;
use futures_util::stream::Peekable;
use futures_util::{Stream, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use resilience::Backoff;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Entries under way from the broker. At 50,000 a second that is ten milliseconds of them, more than a round
/// trip; of 1 MiB each they are half a gigabyte, which is what a journal of such bodies asks for.
const PREFETCH: u16 = 512;
/// Credit is given back in quarters, so that the broker is never out of it.
const CREDIT: u64 = PREFETCH as u64 / 4;
/// How long nothing may come although the end is not reached. Such a session is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a journal that is said to be empty may take to show that it is not. The first chunk comes within
/// milliseconds of the consumer.
const EMPTY_WAIT: Duration = Duration::from_secs(2);
/// Sessions in a row that were opened in vain, or gave nothing, before the reader gives up: with the waits
/// in between some twenty seconds, in which a broker can start again.
const FRUITLESS_MAX: u32 = 10;
/// How far a sender's clock may be ahead of the broker's, by which entries are found.
const CLOCK_MARGIN_SECONDS: i64 = 60;

/// Why reading ended before the end.
enum Early {
    Unwanted,
    Missing,
    Away(String),
}

impl From<OpenError> for Early {
    fn from(error: OpenError) -> Self {
        Self::Away(error.to_string())
    }
}

impl From<Unwanted> for Early {
    fn from(_: Unwanted) -> Self {
        Self::Unwanted
    }
}

/// Reads from `start` to what is there now, over as many sessions as it takes.
pub(super) async fn read(link: Arc<Link>, start: JournalStart, feed: JournalFeed) {
    let read = if link.topology.journal.is_some() {
        Reading::new(&link, start, &feed).run().await
    } else {
        Err(Early::Missing)
    };
    match read {
        Ok(()) => feed.end(Ok(())).await,
        Err(Early::Unwanted) => {}
        Err(Early::Missing) => feed.end(Err(JournalError::Missing)).await,
        Err(Early::Away(why)) => feed.end(Err(JournalError::Away(why))).await,
    }
}

/// How far a reader has come. Outlives its sessions.
struct Reading<'a> {
    link: &'a Link,
    feed: &'a JournalFeed,
    /// Only what was received since then.
    since: Option<UnixMicros>,
    /// The offset of the last entry dealt with.
    done: Option<u64>,
    /// The offset of the last entry to be handed over, once it is known.
    end: Option<u64>,
}

impl<'a> Reading<'a> {
    fn new(link: &'a Link, start: JournalStart, feed: &'a JournalFeed) -> Self {
        let (since, done) = match start {
            JournalStart::Oldest => (None, None),
            JournalStart::Since(moment) => (Some(moment), None),
            JournalStart::After(position) => (None, Some(position.0)),
        };
        Self {
            link,
            feed,
            since,
            done,
            end: None,
        }
    }

    async fn run(mut self) -> Result<(), Early> {
        let mut fruitless = 0;
        loop {
            let before = self.done;
            let Err(early) = self.session().await else {
                return Ok(());
            };
            let Early::Away(why) = early else {
                return Err(early);
            };
            fruitless = if self.done == before {
                fruitless + 1
            } else {
                1
            };
            if fruitless >= FRUITLESS_MAX {
                return Err(Early::Away(why));
            }
            warn!("cannot read the journal on: {why}; trying again");
            let wait = Backoff::RECONNECT.wait(fruitless, fastrand::f64());
            tokio::select! {
                () = sleep(wait) => {}
                () = self.link.stop.cancelled() => return Err(Early::Unwanted),
                () = self.feed.unwanted() => return Err(Early::Unwanted),
            }
        }
    }

    /// Reads on with a new session, to the end or until that fails.
    async fn session(&mut self) -> Result<(), Early> {
        let (link, feed) = (self.link, self.feed);
        let session = tokio::select! {
            opened = link.open("reading the journal", false) => opened?,
            () = link.stop.cancelled() => return Err(Early::Unwanted),
            () = feed.unwanted() => return Err(Early::Unwanted),
        };
        let read = tokio::select! {
            read = self.read(&session) => read,
            () = session.ended() => Err(Early::Away("the session ended".to_owned())),
            () = link.stop.cancelled() => Err(Early::Unwanted),
            () = feed.unwanted() => Err(Early::Unwanted),
        };
        session.close().await;
        read
    }

    async fn read(&mut self, session: &Session) -> Result<(), Early> {
        let Some(end_now) = end(session).await? else {
            return Ok(());
        };
        // A stream does not fsync: after a broker's death it may be shorter than it was.
        let end = self.end.map_or(end_now, |end| end.min(end_now));
        self.end = Some(end);
        // Beyond the end there is nothing to begin at, and the broker would end the session over it.
        if self.done.is_some_and(|done| done >= end) {
            return Ok(());
        }
        let channel = session.channel().await?;
        let mut entries = consume(&channel, self.from(), PREFETCH).await?.peekable();
        let by_time = self.done.is_none() && self.since.is_some();
        if by_time && !gives_any(&channel, &mut entries).await? {
            return Ok(());
        }
        self.hand_over(&channel, entries, end).await
    }

    /// Where the next session begins.
    fn from(&self) -> AMQPValue {
        match (self.done, self.since) {
            (Some(done), _) => offset(done + 1),
            (None, Some(since)) => {
                let seconds = since.seconds().0.saturating_sub(CLOCK_MARGIN_SECONDS);
                AMQPValue::Timestamp(u64::try_from(seconds).unwrap_or(0))
            }
            (None, None) => AMQPValue::LongString("first".into()),
        }
    }

    async fn hand_over(
        &mut self,
        channel: &Channel,
        mut entries: impl Stream<Item = lapin::Result<Delivery>> + Unpin,
        end: u64,
    ) -> Result<(), Early> {
        let mut owed = 0;
        while self.done.is_none_or(|done| done < end) {
            let delivery = next(&mut entries, STALL_TIMEOUT).await?;
            let tag = delivery.delivery_tag;
            self.entry(delivery, end).await?;
            owed += 1;
            if owed == CREDIT {
                credit(channel, tag).await?;
                owed = 0;
            }
        }
        Ok(())
    }

    /// Deals with one entry, whether it is wanted or not.
    async fn entry(&mut self, delivery: Delivery, end: u64) -> Result<(), Early> {
        let position = offset_of(&delivery)?;
        // A chunk may begin before what was asked for, and the stream go on beyond the end.
        let inside = self.done.is_none_or(|done| position > done) && position <= end;
        if inside {
            let (content, _) = properties::read(delivery);
            if self.wants(content.received_at()) {
                let position = Position(position);
                self.feed.entry(Entry { position, content }).await?;
            }
        }
        self.done = self.done.max(Some(position));
        Ok(())
    }

    fn wants(&self, received_at: Option<UnixMicros>) -> bool {
        match (self.since, received_at) {
            (Some(since), Some(received_at)) => received_at >= since,
            (None, _) | (_, None) => true,
        }
    }
}

/// The offset of the last entry there is; nothing where the stream is empty.
async fn end(session: &Session) -> Result<Option<u64>, Early> {
    let channel = session.channel().await?;
    let Some(seen) = passive(&channel, &QueueName::journal()).await? else {
        return Err(Early::Missing);
    };
    let mut last_chunk = consume(&channel, AMQPValue::LongString("last".into()), PREFETCH).await?;
    let patience = match seen.ready {
        0 => EMPTY_WAIT,
        _ => STALL_TIMEOUT,
    };
    let Ok(first) = timeout(patience, last_chunk.next()).await else {
        return match seen.ready {
            0 => Ok(None),
            held => Err(silent(held)),
        };
    };
    let end = read_out(&channel, read_delivery(first)?, last_chunk).await?;
    bounded("closing a channel", channel.close(200, "seen".into())).await?;
    Ok(Some(end))
}

fn silent(held: u64) -> Early {
    let why = format!("the journal holds {held} entries and the broker hands out none");
    Early::Away(why)
}

/// The last offset of everything from `first` on that is there now.
async fn read_out(channel: &Channel, first: Delivery, mut entries: Consumer) -> Result<u64, Early> {
    let mut end = offset_of(&first)?;
    let (mut tag, mut taken) = (first.delivery_tag, 1);
    loop {
        answered(channel).await?;
        while let Some(entry) = entries.next().now_or_never() {
            let entry = read_delivery(entry)?;
            (end, tag) = (offset_of(&entry)?, entry.delivery_tag);
            taken += 1;
        }
        // Credit was left over, so there was nothing more.
        if taken < u64::from(PREFETCH) {
            return Ok(end);
        }
        credit(channel, tag).await?;
        taken = 0;
    }
}

/// Whether a consumer has anything at all to give now. One that begins by a moment after the last entry's has
/// not, and would stay silent until something new comes.
async fn gives_any<S>(channel: &Channel, entries: &mut Peekable<S>) -> Result<bool, Early>
where
    S: Stream<Item = lapin::Result<Delivery>> + Unpin,
{
    // The stream is not empty, so this one is served; and then everyone on its channel has been.
    let mut witness = consume(channel, AMQPValue::LongString("last".into()), 1).await?;
    next(&mut witness, STALL_TIMEOUT).await?;
    answered(channel).await?;
    let cancelling = channel.basic_cancel(witness.tag(), Default::default());
    bounded("basic.cancel", cancelling).await?;
    Ok(Pin::new(entries).peek().now_or_never().is_some())
}

/// Returns when the broker has answered, and thereby sent everything it had to say before.
async fn answered(channel: &Channel) -> Result<(), Early> {
    match passive(channel, &QueueName::journal()).await? {
        Some(_) => Ok(()),
        None => Err(Early::Missing),
    }
}

async fn consume(channel: &Channel, from: AMQPValue, prefetch: u16) -> Result<Consumer, OpenError> {
    // Streams need a prefetch of the consumer's own.
    let qos = channel.basic_qos(prefetch, BasicQosOptions { global: false });
    bounded("basic.qos", qos).await?;
    let options = BasicConsumeOptions {
        // Streams refuse automatic acks: acks are the credit.
        no_ack: false,
        exclusive: false,
        no_local: false,
        nowait: false,
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), from);
    let journal = QueueName::journal();
    let consuming = channel.basic_consume(journal.as_str().into(), "".into(), options, arguments);
    bounded("consuming the journal", consuming).await
}

async fn next(
    entries: &mut (impl Stream<Item = lapin::Result<Delivery>> + Unpin),
    patience: Duration,
) -> Result<Delivery, Early> {
    let next = timeout(patience, entries.next()).await;
    read_delivery(next.map_err(|_| Early::Away(format!("nothing came for {patience:?}")))?)
}

fn read_delivery(delivery: Option<lapin::Result<Delivery>>) -> Result<Delivery, Early> {
    match delivery {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(why)) => Err(Early::Away(why.to_string())),
        None => Err(Early::Away("the broker cancelled the reader".to_owned())),
    }
}

fn offset_of(delivery: &Delivery) -> Result<u64, Early> {
    let offset = properties::stream_offset(delivery);
    offset.ok_or_else(|| Early::Away("an entry came without its offset".to_owned()))
}

/// Gives credit for everything up to this entry.
async fn credit(channel: &Channel, tag: u64) -> Result<(), Early> {
    let acking = channel.basic_ack(tag, BasicAckOptions { multiple: true });
    Ok(bounded("basic.ack", acking).await?)
}

fn offset(offset: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX))
}
