//! What every broker tells an operator: the journal, what lies where, what is in hand, who is at work.

use crate::harness::*;
use broker::{
    Broker, BrokerUrl, Content, Destination, Entry, InHand, JournalError, JournalReader,
    JournalStart, Look, LookError, Position, Pulse, QueueName, Settings,
};
use bytes::Bytes;
use envelope::{Attempt, ContentType, Envelope, SignatureDigest, TraceParent};
use envelope::{UnixMicros, UnixSeconds};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};
use testkit::wait_until;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What this suite needs beyond a [`Harness`].
pub trait Books: Harness<Client = broker::Broker> {
    /// Where a program finds it.
    fn url(&self) -> BrokerUrl;

    /// Puts something that is not of ours into the journal.
    async fn enter_foreign(&self, body: &'static [u8]);
}

/// Runs the whole suite over one implementation.
macro_rules! books {
    ($harness:ty) => {
        books! { $harness:
            the_journal_gives_back_every_event_in_order_and_byte_for_byte,
            reading_begins_where_it_is_told_to,
            after_the_last_entry_there_is_nothing,
            an_empty_journal_has_no_entry_and_reaches_nowhere,
            the_journal_reaches_back_to_its_first_event,
            a_reader_ends_with_what_was_there_when_it_began,
            the_journal_and_its_positions_survive_a_restart,
            only_what_the_door_published_is_in_the_journal,
            a_foreign_entry_is_handed_over_as_foreign,
            beside_a_writer_every_entry_is_read_once,
            several_readers_do_not_disturb_each_other,
            a_pipeline_of_every_source_takes_each,
            without_a_journal_in_the_configuration_there_is_none_to_read,
            a_look_counts_what_waits,
            a_look_at_a_queue_that_is_not_there_says_which,
            what_is_in_hand_is_counted_until_its_ending,
            several_consumers_of_a_queue_are_one_hand,
            what_a_closed_consumer_gave_back_is_in_nobodys_hand,
            a_pulse_is_heard_by_everyone_who_listens,
            an_operator_reads_looks_and_publishes_beside_a_program,
            an_operator_makes_nothing_that_is_not_there,
        }
    };
    ($harness:ty: $($test:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                $crate::books::$test::<$harness>().await;
            }
        )+
    };
}

fn now() -> UnixMicros {
    SystemTime::now().into()
}

fn received(id: u32, received_at: UnixMicros) -> Envelope {
    Envelope {
        received_at,
        ..event(&id.to_string(), "default")
    }
}

fn later(moment: UnixMicros, seconds: i64) -> UnixMicros {
    UnixMicros(moment.0 + seconds * 1_000_000)
}

async fn publish(session: &Session<broker::Broker>, envelope: Envelope) {
    let published = session.publish(Destination::Events, envelope).await;
    let _confirmed = published.unwrap();
}

/// Publishes events all at once, in no order.
pub async fn publish_many(session: &Session<broker::Broker>, ids: std::ops::Range<u32>) {
    for first in ids.clone().step_by(100) {
        let ids = first..ids.end.min(first + 100);
        let publishes = ids.map(|id| publish(session, received(id, now())));
        futures_util::future::join_all(publishes).await;
    }
}

async fn next(reader: &mut JournalReader, max: usize) -> Option<Vec<Entry>> {
    let batch = timeout(DEADLINE, reader.next_batch(max)).await;
    batch.expect("entries or the end").unwrap()
}

/// Everything up to the end.
async fn rest(reader: &mut JournalReader) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(batch) = next(reader, 100).await {
        assert!(!batch.is_empty());
        entries.extend(batch);
    }
    assert!(entries.is_sorted_by(|a, b| a.position < b.position));
    // The end stays the end.
    assert!(next(reader, 1).await.is_none());
    entries
}

async fn read(broker: &Broker, start: JournalStart) -> Vec<Entry> {
    rest(&mut broker.read_journal(start)).await
}

fn entry_id(entry: &Entry) -> u32 {
    match &entry.content {
        Content::Event(envelope) => envelope.event_id.as_str().parse().unwrap(),
        Content::Foreign { why, .. } => panic!("an event of ours is foreign: {why}"),
    }
}

fn entry_ids(entries: &[Entry]) -> Vec<u32> {
    entries.iter().map(entry_id).collect()
}

/// The ids of entries that were published in no order.
pub fn sorted_ids(entries: &[Entry]) -> Vec<u32> {
    let mut ids = entry_ids(entries);
    ids.sort_unstable();
    ids
}

pub async fn the_journal_gives_back_every_event_in_order_and_byte_for_byte<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let mut full = event("1", "default");
    full.body = Bytes::from((0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    full.content_type = ContentType::from_bytes(b"application/json; charset=utf-8");
    full.signed_at = Some(UnixSeconds(1_763_900_000));
    full.signature_digest = Some(SignatureDigest::of(&[b"signed"]));
    full.attempt = Attempt::FIRST.next();
    full.traceparent =
        TraceParent::from_bytes(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let mut empty = event("2", "stripe");
    empty.body = Bytes::new();
    let sent = [full, empty, event("3", "nobodys"), event("4", "default")];
    for envelope in sent.clone() {
        publish(&session, envelope).await;
    }
    let entries = read(&session.broker, JournalStart::Oldest).await;
    let found: Vec<_> = entries.into_iter().map(|entry| entry.content).collect();
    assert_eq!(found, sent.map(Content::Event));
    session.stop().await;
}

pub async fn reading_begins_where_it_is_told_to<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let first = now();
    for id in 0..10 {
        publish(&session, received(id, later(first, i64::from(id)))).await;
    }
    let broker = &session.broker;
    let entries = read(broker, JournalStart::Oldest).await;
    assert_eq!(entry_ids(&entries), Vec::from_iter(0..10));
    for (index, entry) in entries.iter().enumerate() {
        let after = read(broker, JournalStart::After(entry.position)).await;
        assert_eq!(after, entries[index + 1..]);
    }
    let since = read(broker, JournalStart::Since(later(first, 7))).await;
    assert_eq!(entry_ids(&since), [7, 8, 9]);
    let since = read(broker, JournalStart::Since(UnixMicros(i64::MIN))).await;
    assert_eq!(since, entries);
    session.stop().await;
}

pub async fn after_the_last_entry_there_is_nothing<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=3).await;
    let broker = &session.broker;
    let entries = read(broker, JournalStart::Oldest).await;
    let last = entries.last().unwrap().position;
    for start in [
        JournalStart::After(last),
        JournalStart::After(Position(last.0 + 1_000)),
        JournalStart::After(Position(u64::MAX)),
        JournalStart::Since(later(now(), 3_600)),
    ] {
        assert!(read(broker, start).await.is_empty(), "{start:?}");
    }
    session.stop().await;
}

pub async fn an_empty_journal_has_no_entry_and_reaches_nowhere<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    for start in [
        JournalStart::Oldest,
        JournalStart::Since(now()),
        JournalStart::After(Position(0)),
    ] {
        assert!(read(&session.broker, start).await.is_empty(), "{start:?}");
    }
    assert_eq!(session.broker.journal_reach().await, Ok(None));
    session.stop().await;
}

pub async fn the_journal_reaches_back_to_its_first_event<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    harness.enter_foreign(b"first").await;
    let moment = now();
    publish(&session, received(1, moment)).await;
    publish(&session, received(2, later(moment, -100))).await;
    assert_eq!(session.broker.journal_reach().await, Ok(Some(moment)));
    session.stop().await;
}

pub async fn a_reader_ends_with_what_was_there_when_it_began<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    publish_many(&session, 0..1_000).await;
    let mut reader = session.broker.read_journal(JournalStart::Oldest);
    // It has begun, and holds no more than a few hundred entries now.
    let mut entries = next(&mut reader, 1).await.unwrap();
    publish_many(&session, 1_000..1_100).await;
    entries.extend(rest(&mut reader).await);
    assert_eq!(sorted_ids(&entries), Vec::from_iter(0..1_000));
    session.stop().await;
}

pub async fn the_journal_and_its_positions_survive_a_restart<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=5).await;
    let before = read(&session.broker, JournalStart::Oldest).await;
    let mut consumer = session.consumer(main_queue());
    ack_all(take(&mut consumer, 5).await);
    close(consumer).await;
    session.stop().await;

    let session = harness.start().await;
    session.publish_all([6]).await;
    let after = read(&session.broker, JournalStart::Oldest).await;
    assert_eq!(after[..5], before);
    assert_eq!(entry_ids(&after[5..]), [6]);
    session.stop().await;
}

pub async fn only_what_the_door_published_is_in_the_journal<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all([1]).await;
    let retry = QueueName::retry(&payments(), Duration::from_secs(16));
    for queue in [main_queue(), QueueName::dead(&payments()), retry] {
        let to = Destination::Queue(queue);
        let _confirmed = session.publish(to, event("2", "default")).await.unwrap();
    }
    session.publish_all([3]).await;
    let entries = read(&session.broker, JournalStart::Oldest).await;
    assert_eq!(entry_ids(&entries), [1, 3]);
    session.stop().await;
}

pub async fn a_foreign_entry_is_handed_over_as_foreign<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let moment = now();
    publish(&session, received(1, moment)).await;
    harness.enter_foreign(b"\xff of no one").await;
    publish(&session, received(2, later(moment, 10))).await;
    for (start, count) in [
        (JournalStart::Oldest, 3),
        // It has no time of receipt, so it cannot be told to be older.
        (JournalStart::Since(later(moment, 5)), 2),
    ] {
        let entries = read(&session.broker, start).await;
        assert_eq!(entries.len(), count);
        let foreign = &entries[count - 2].content;
        assert!(matches!(foreign, Content::Foreign { .. }));
        assert_eq!(foreign.body(), &b"\xff of no one"[..]);
        assert_eq!(entry_id(&entries[count - 1]), 2);
    }
    session.stop().await;
}

pub async fn beside_a_writer_every_entry_is_read_once<H: Books>() {
    const COUNT: u32 = 2_000;
    let harness = H::new().await;
    let session = harness.start().await;
    let writing = publish_many(&session, 0..COUNT);
    let reading = async {
        let (mut entries, mut start) = (Vec::new(), JournalStart::Oldest);
        while entries.len() < COUNT as usize {
            entries.extend(read(&session.broker, start).await);
            if let Some(last) = entries.last() {
                start = JournalStart::After(last.position);
            }
        }
        entries
    };
    let both = timeout(3 * DEADLINE, async { tokio::join!(reading, writing) }).await;
    let (entries, ()) = both.expect("everything is written and read");
    assert!(entries.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!(sorted_ids(&entries), Vec::from_iter(0..COUNT));
    session.stop().await;
}

pub async fn several_readers_do_not_disturb_each_other<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    publish_many(&session, 0..600).await;
    let mut slow = session.broker.read_journal(JournalStart::Oldest);
    let mut dropped = session.broker.read_journal(JournalStart::Oldest);
    let mut entries = next(&mut slow, 3).await.unwrap();
    next(&mut dropped, 3).await.unwrap();
    drop(dropped);
    let fast = read(&session.broker, JournalStart::Oldest).await;
    assert_eq!(sorted_ids(&fast), Vec::from_iter(0..600));
    entries.extend(rest(&mut slow).await);
    assert_eq!(entries, fast);
    session.stop().await;
}

/// `spillway.route` knows no patterns: each source is bound, also one that only another pipeline names.
pub async fn a_pipeline_of_every_source_takes_each<H: Books>() {
    let harness = H::new().await;
    let pipeline = |name: &str, sources| broker::Pipeline {
        name: name.parse().unwrap(),
        sources,
    };
    let only = broker::SourceFilter::Only(vec!["stripe".parse().unwrap()]);
    let topology = broker::Topology {
        sources: vec!["default".parse().unwrap(), "github".parse().unwrap()],
        pipelines: vec![
            pipeline("every", broker::SourceFilter::All),
            pipeline("audit", only),
        ],
        journal: None,
    };
    let (settings, stop) = (Settings::of("a program"), CancellationToken::new());
    let settings = Settings {
        settle_new_queues: Duration::ZERO,
        ..settings
    };
    let broker = Broker::start(&harness.url(), &topology, settings, stop.clone()).unwrap();
    timeout(DEADLINE, broker.ready()).await.unwrap().unwrap();
    let publisher = broker.publisher();
    becomes_up(&publisher).await;
    for source in ["default", "stripe", "github"] {
        let publishing = publisher.publish(Destination::Events, event(source, source));
        let _confirmed = timeout(DEADLINE, publishing).await.unwrap().unwrap();
    }
    let mut every = broker.consumer(QueueName::main(&"every".parse().unwrap()), 64);
    let taken = take(&mut every, 3).await;
    let sources = taken
        .iter()
        .map(|delivery| envelope(delivery).source.as_str());
    assert_eq!(sources.collect::<Vec<_>>(), ["default", "stripe", "github"]);
    let mut audit = broker.consumer(QueueName::main(&"audit".parse().unwrap()), 64);
    let delivery = take_one(&mut audit).await;
    assert_eq!(envelope(&delivery).source.as_str(), "stripe");
    stop.cancel();
    timeout(DEADLINE, broker.stopped()).await.unwrap();
}

pub async fn without_a_journal_in_the_configuration_there_is_none_to_read<H: Books>() {
    let harness = H::new().await;
    harness.start().await.stop().await;
    let topology = broker::Topology {
        journal: None,
        ..topology()
    };
    let stop = CancellationToken::new();
    let settings = Settings::of("an operator");
    let broker = Broker::attach(&harness.url(), &topology, settings, stop.clone()).unwrap();
    let mut reader = broker.read_journal(JournalStart::Oldest);
    for _ in 0..2 {
        let batch = timeout(DEADLINE, reader.next_batch(1)).await.unwrap();
        assert_eq!(batch, Err(JournalError::Missing));
    }
    assert_eq!(broker.journal_reach().await, Err(JournalError::Missing));
    stop.cancel();
    timeout(DEADLINE, broker.stopped()).await.unwrap();
}

/// Everything but who reads: the two brokers know different things of it.
async fn looks(broker: &Broker, queues: &[QueueName]) -> Vec<Look> {
    let looks = timeout(DEADLINE, broker.look(queues)).await.unwrap();
    looks.unwrap()
}

pub async fn a_look_counts_what_waits<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=3).await;
    let retry = QueueName::retry(&payments(), Duration::from_secs(16));
    let dead = QueueName::dead(&payments());
    for queue in [&retry, &dead, &dead] {
        let to = Destination::Queue(queue.clone());
        let _confirmed = session.publish(to, event("9", "default")).await.unwrap();
    }
    let queues = [main_queue(), retry, dead, QueueName::unrouted()];
    // RabbitMQ counts a moment after it confirms.
    wait_until("what waits is counted", DEADLINE, async || {
        let found = looks(&session.broker, &queues).await;
        let ready: Vec<_> = found.iter().map(|look| look.ready).collect();
        let delayed: u64 = found.iter().filter_map(|look| look.delayed).sum();
        // What is to be tried again is ready in its retry queue, or delayed.
        ready[0] == 3 && ready[1] + delayed == 1 && ready[2..] == [2, 0]
    })
    .await;
    let mut consumer = session.broker.consumer(main_queue(), 2);
    let _taken = take(&mut consumer, 2).await;
    wait_until("what is in hand is not ready", DEADLINE, async || {
        let look = looks(&session.broker, &queues).await[0];
        look.ready == 1
            && look.unacked.is_none_or(|unacked| unacked == 2)
            && look.consumers.is_none_or(|consumers| consumers == 1)
    })
    .await;
    session.stop().await;
}

pub async fn a_look_at_a_queue_that_is_not_there_says_which<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let gone = QueueName::main(&"gone".parse().unwrap());
    let queues = [main_queue(), gone.clone()];
    let looked = timeout(DEADLINE, session.broker.look(&queues)).await;
    let looked = looked.unwrap();
    assert_eq!(looked, Err(LookError::Missing(gone)));
    // And that is nobody else's trouble.
    assert_eq!(looks(&session.broker, &[main_queue()]).await.len(), 1);
    session.stop().await;
}

async fn becomes_in_hand(
    session: &Session<broker::Broker>,
    unacked: u64,
    oldest: Option<UnixMicros>,
    taken: u64,
) {
    let in_hand = || session.broker.in_hand(&main_queue());
    let reached = testkit::wait_within(DEADLINE, async || {
        let found = in_hand();
        (found.unacked, found.oldest_received_at, found.taken_total) == (unacked, oldest, taken)
    });
    assert!(reached.await.is_some(), "it stays at {:?}", in_hand());
}

pub async fn what_is_in_hand_is_counted_until_its_ending<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let in_hand = || session.broker.in_hand(&main_queue());
    assert_eq!(in_hand(), InHand::default());
    let moment = now();
    for (id, seconds) in [(1, 5), (2, 1), (3, 3)] {
        publish(&session, received(id, later(moment, seconds))).await;
    }
    harness
        .inject(&main_queue(), Default::default(), Bytes::from_static(b"?"))
        .await;
    let mut consumer = session.broker.consumer(main_queue(), 4);
    let mut taken = take(&mut consumer, 4).await;
    becomes_in_hand(&session, 4, Some(later(moment, 1)), 4).await;
    assert_eq!(in_hand().consumers, 1);
    taken.remove(1).receipt.ack();
    becomes_in_hand(&session, 3, Some(later(moment, 3)), 4).await;
    taken.remove(1).receipt.ack();
    becomes_in_hand(&session, 2, Some(later(moment, 5)), 4).await;
    taken.remove(0).receipt.ack();
    // The foreign one is in hand, and nobody knows since when.
    becomes_in_hand(&session, 1, None, 4).await;
    ack_all(taken);
    becomes_in_hand(&session, 0, None, 4).await;
    session.publish_all([4]).await;
    let _last = take_one(&mut consumer).await;
    becomes_in_hand(&session, 1, Some(event("4", "default").received_at), 5).await;
    session.stop().await;
}

pub async fn several_consumers_of_a_queue_are_one_hand<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=4).await;
    let mut first = session.broker.consumer(main_queue(), 2);
    let mut second = session.broker.consumer(main_queue(), 2);
    let (one, two) = (take(&mut first, 2).await, take(&mut second, 2).await);
    let oldest = Some(event("1", "default").received_at);
    becomes_in_hand(&session, 4, oldest, 4).await;
    assert_eq!(session.broker.in_hand(&main_queue()).consumers, 2);
    // Another queue is another hand.
    let dead = session.broker.in_hand(&QueueName::dead(&payments()));
    assert_eq!(dead, InHand::default());
    ack_all(one);
    close(first).await;
    becomes_in_hand(&session, 2, oldest, 4).await;
    assert_eq!(session.broker.in_hand(&main_queue()).consumers, 1);
    drop(two);
    session.stop().await;
}

pub async fn what_a_closed_consumer_gave_back_is_in_nobodys_hand<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=3).await;
    let mut consumer = session.consumer(main_queue());
    drop(take(&mut consumer, 3).await);
    close(consumer).await;
    let in_hand = session.broker.in_hand(&main_queue());
    assert_eq!((in_hand.unacked, in_hand.consumers), (0, 0));
    assert_eq!(in_hand.oldest_received_at, None);
    wait_until("they are ready again", DEADLINE, async || {
        looks(&session.broker, &[main_queue()]).await[0].ready == 3
    })
    .await;
    session.stop().await;
}

fn pulse(worker: &str) -> Pulse {
    Pulse {
        worker: worker.to_owned(),
        pipeline: payments(),
        queue: "spillway.payments".to_owned(),
        at: now(),
        unacked: 7,
        oldest_received_at: Some(UnixMicros(1_763_900_000_123_456)),
        taken_total: 11,
        consumers: 1,
        busy: 0.5,
        breakers: BTreeMap::from([("postgres".to_owned(), "open".to_owned())]),
    }
}

pub async fn a_pulse_is_heard_by_everyone_who_listens<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let mut listeners = [session.broker.pulses(), session.broker.pulses()];
    let (one, two) = (pulse("one"), pulse("two"));
    let (made_one, made_two) = (one.clone(), two.clone());
    session.broker.pulse(move || made_one.clone());
    session.broker.pulse(move || made_two.clone());
    for listener in &mut listeners {
        let mut heard: HashMap<String, u32> = HashMap::new();
        // From each more than once: it goes on.
        while heard.len() < 2 || heard.values().any(|times| *times < 2) {
            let pulse = timeout(DEADLINE, listener.next()).await.unwrap().unwrap();
            assert!([&one, &two].contains(&&pulse), "{pulse:?}");
            *heard.entry(pulse.worker).or_default() += 1;
        }
    }
    session.stop().await;
    let [mut listener, _] = listeners;
    let silent = async { while listener.next().await.is_some() {} };
    timeout(DEADLINE, silent).await.expect("the end is heard");
}

/// An operator's command beside whatever is running.
struct Operator {
    broker: Broker,
    stop: CancellationToken,
}

impl Operator {
    fn attach(url: &BrokerUrl) -> Self {
        let stop = CancellationToken::new();
        let settings = Settings::of("an operator");
        let broker = Broker::attach(url, &topology(), settings, stop.clone()).unwrap();
        Self { broker, stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        let stopped = timeout(DEADLINE, self.broker.stopped()).await;
        stopped.expect("the operator leaves");
    }
}

pub async fn an_operator_reads_looks_and_publishes_beside_a_program<H: Books>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=2).await;
    let mut consumer = session.consumer(main_queue());
    let in_hand = take(&mut consumer, 2).await;

    let operator = Operator::attach(&harness.url());
    let entries = read(&operator.broker, JournalStart::Oldest).await;
    assert_eq!(entry_ids(&entries), [1, 2]);
    becomes_up(&operator.broker.publisher()).await;
    let to = Destination::Queue(main_queue());
    let publisher = operator.broker.publisher();
    let replayed = publisher.publish(to, event("3", "default"));
    let _confirmed = timeout(DEADLINE, replayed).await.unwrap().unwrap();
    // The program notices, and what it has in hand stays there.
    let third = take_one(&mut consumer).await;
    assert_eq!(id(&third), 3);
    wait_until("all of it is in hand", DEADLINE, async || {
        let look = looks(&operator.broker, &[main_queue()]).await[0];
        look.ready == 0 && look.unacked.is_none_or(|unacked| unacked == 3)
    })
    .await;
    operator.stop().await;
    ack_all(in_hand);
    third.receipt.ack();
    close(consumer).await;
    assert_eq!(looks(&session.broker, &[main_queue()]).await[0].ready, 0);
    session.publish_all([4]).await;
    session.stop().await;

    // And the same while nobody serves.
    let operator = Operator::attach(&harness.url());
    let entries = read(&operator.broker, JournalStart::Oldest).await;
    assert_eq!(entry_ids(&entries), [1, 2, 4]);
    assert_eq!(looks(&operator.broker, &[main_queue()]).await[0].ready, 1);
    operator.stop().await;
}

pub async fn an_operator_makes_nothing_that_is_not_there<H: Books>() {
    let harness = H::new().await;
    let url = harness.url();
    let stop = CancellationToken::new();
    let attached = Broker::attach(&url, &topology(), Settings::of("an operator"), stop.clone());
    match (&url, attached) {
        (BrokerUrl::Embedded(path), attached) => {
            let refused = attached.unwrap_err().to_string();
            assert!(refused.contains("no such file"), "{refused}");
            assert!(!path.exists());
        }
        (BrokerUrl::Amqp(_), attached) => {
            let broker = attached.unwrap();
            let looked = timeout(DEADLINE, broker.look(&[main_queue()]))
                .await
                .unwrap();
            assert_eq!(looked, Err(LookError::Missing(main_queue())));
            let mut reader = broker.read_journal(JournalStart::Oldest);
            let read = timeout(DEADLINE, reader.next_batch(1)).await.unwrap();
            assert_eq!(read, Err(JournalError::Missing));
            stop.cancel();
            timeout(DEADLINE, broker.stopped()).await.unwrap();
        }
    }
}
