//! The writer driven step by step: no thread, no clock.

mod model;
mod steps;

use super::reader::Reader;
use super::store::ChangeError;
use super::writer::{Now, Routed, Writer};
use crate::in_hand::HandBook;
use crate::{
    Consumer, Content, Delivery, Destination, Journal, LaneState, Pipeline, PublishLane, Publisher,
    QueueName, SourceFilter, Topology,
};
use bytes::Bytes;
use envelope::{Attempt, Envelope, UnixMicros};
use futures_util::FutureExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A writer on a file of its own, with both clocks in the test's hands.
struct Bench {
    writer: Writer,
    topology: Topology,
    publisher: Publisher,
    lane: PublishLane,
    now: Now,
    dir: TempDir,
}

/// `payments` takes every source, `audit` takes `stripe`.
fn topology(journal: Option<Journal>) -> Topology {
    let pipeline = |name: &str, sources| Pipeline {
        name: name.parse().unwrap(),
        sources,
    };
    let stripe = SourceFilter::Only(vec!["stripe".parse().unwrap()]);
    Topology {
        sources: Vec::new(),
        pipelines: vec![
            pipeline("payments", SourceFilter::All),
            pipeline("audit", stripe),
        ],
        journal,
    }
}

fn main_queue(pipeline: &str) -> QueueName {
    QueueName::main(&pipeline.parse().unwrap())
}

fn retry_queue(pipeline: &str, seconds: u64) -> Destination {
    let delay = Duration::from_secs(seconds);
    Destination::Queue(QueueName::retry(&pipeline.parse().unwrap(), delay))
}

fn event(id: u32, source: &str) -> Envelope {
    Envelope {
        event_id: id.to_string().parse().unwrap(),
        source: source.parse().unwrap(),
        body: Bytes::from(format!("body of {id}")),
        content_type: None,
        received_at: UnixMicros(0),
        signed_at: None,
        signature_digest: None,
        attempt: Attempt::FIRST,
        parked: 0,
        replays: 0,
        note: None,
        traceparent: None,
    }
}

fn envelope(delivery: &Delivery) -> &Envelope {
    match &delivery.content {
        Content::Event(envelope) => envelope,
        Content::Foreign { why, .. } => panic!("foreign: {why}"),
    }
}

fn id(delivery: &Delivery) -> u32 {
    envelope(delivery).event_id.as_str().parse().unwrap()
}

impl Bench {
    fn new(journal: Option<Journal>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let topology = topology(journal);
        let writer = Writer::open(&dir.path().join("broker.db"), &topology).unwrap();
        let (publisher, mut lanes) = crate::publisher(1, 1_024);
        let lane = lanes.pop().unwrap();
        lane.set_state(LaneState::Up);
        let now = Now {
            wall: UnixMicros(1_763_900_000_000_000),
            steady: Instant::now(),
        };
        Self {
            writer,
            topology,
            publisher,
            lane,
            now,
            dir,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("broker.db")
    }

    /// The process dies, without a word to anybody, and is started again.
    fn crash(&mut self) {
        self.writer = Writer::open(&self.path(), &self.topology).unwrap();
    }

    fn pass(&mut self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        self.now.wall = UnixMicros(self.now.wall.0 + micros);
        self.now.steady += time;
        self.writer.dispatch.forgive(self.now.steady);
    }

    fn routed(&mut self, to: Destination, envelope: Envelope) -> Routed {
        // It waits for its verdict for ever; what `write` returns is the verdict.
        let waiting = self.publisher.publish(to, envelope).now_or_never();
        assert!(waiting.is_none());
        let request = self.lane.requests.try_recv().unwrap();
        let route = self.writer.route(&request).unwrap();
        Routed { request, route }
    }

    fn publish(&mut self, to: Destination, envelope: Envelope) -> Result<(), ChangeError> {
        let routed = self.routed(to, envelope);
        self.writer.write(vec![routed], self.now)
    }

    fn publish_all(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            self.publish(Destination::Events, event(id, "default"))
                .unwrap();
        }
    }

    /// Writes what there is besides publishes, until nothing more is to be done at this moment.
    fn write(&mut self) {
        self.write_once();
        while self.writer.has_work(self.now) {
            self.write_once();
        }
    }

    fn write_once(&mut self) {
        self.writer.write(Vec::new(), self.now).unwrap();
    }

    fn consumer(&mut self, pipeline: &str, prefetch: u16) -> Consumer {
        let (consumer, feed) = crate::consumer(prefetch);
        let queue = self.writer.queue(&main_queue(pipeline)).unwrap();
        let line = HandBook::default().begin(&main_queue(pipeline));
        let reader = Reader::new(queue, prefetch, feed, line, || {});
        self.writer.dispatch.join(reader);
        consumer
    }

    fn count(&self, table: &str) -> u64 {
        let count = format!("SELECT count(*) FROM {table}");
        let db = self.writer.store().db();
        db.query_row(&count, [], |row| super::store::count(row, 0))
            .unwrap()
    }

    /// From now on every write fails, or none does.
    fn break_disk(&self, broken: bool) {
        let db = self.writer.store().db();
        db.pragma_update(None, "query_only", broken).unwrap();
    }
}

/// What has been handed out to a consumer and not been read yet.
fn read(consumer: &mut Consumer) -> Vec<Delivery> {
    let batch = consumer.next_batch(usize::from(u16::MAX)).now_or_never();
    batch.flatten().unwrap_or_default()
}
