//! Reading RabbitMQ's journal over a connection that breaks.

use crate::amqp::RabbitMq;
use crate::harness::*;
use broker::{Broker, Content, Entry, JournalError, JournalReader, JournalStart, Settings};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than a reader looks for a broker that is away.
const PATIENCE: Duration = Duration::from_secs(90);

/// Stands between a client and its broker, and cuts its connections.
struct Wire {
    port: u16,
    connections: Arc<Mutex<JoinSet<()>>>,
    accepted: Arc<AtomicU32>,
    accepting: JoinHandle<()>,
}

impl Wire {
    async fn to(host: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let accepted = Arc::new(AtomicU32::new(0));
        let (under_way, count) = (connections.clone(), accepted.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                under_way.lock().unwrap().spawn(pass(client, host.clone()));
            }
        });
        Self {
            port,
            connections,
            accepted,
            accepting,
        }
    }

    fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }

    fn close(&self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn pass(mut client: TcpStream, host: String) {
    let mut server = TcpStream::connect(host).await.unwrap();
    // Either end may end it.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// A program with this many events in its journal, and a reader of it over a wire.
struct Scene {
    _harness: RabbitMq,
    session: Session<broker::Broker>,
    wire: Wire,
    operator: Broker,
    stop: CancellationToken,
    positions: BTreeSet<u64>,
}

impl Scene {
    async fn with(count: u32) -> Self {
        let harness = RabbitMq::new().await;
        let session = harness.start().await;
        crate::books::publish_many(&session, 0..count).await;
        let mut url: url::Url = harness.vhost.url().parse().unwrap();
        let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let wire = Wire::to(host).await;
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(wire.port)).unwrap();
        let (url, stop) = (url.as_str().parse().unwrap(), CancellationToken::new());
        // So that every connection over the wire is the reader's.
        let settings = Settings {
            publish_connections: 0,
            ..Settings::of("an operator")
        };
        let operator = Broker::attach(&url, &topology(), settings, stop.clone()).unwrap();
        Self {
            _harness: harness,
            session,
            wire,
            operator,
            stop,
            positions: BTreeSet::new(),
        }
    }

    async fn read(&mut self, reader: &mut JournalReader) -> Option<Vec<Entry>> {
        let batch = timeout(PATIENCE, reader.next_batch(10)).await;
        let batch = batch.expect("entries or the end").unwrap()?;
        for entry in &batch {
            assert!(matches!(entry.content, Content::Event(_)));
            let position = entry.position.0;
            assert!(self.positions.last().is_none_or(|last| *last < position));
            self.positions.insert(position);
        }
        Some(batch)
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.operator.stopped()).await.unwrap();
        self.session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_cut_off_goes_on_where_it_was() {
    const COUNT: u32 = 5_000;
    let mut scene = Scene::with(COUNT).await;
    let mut reader = scene.operator.read_journal(JournalStart::Oldest);
    let mut entries = Vec::new();
    // What is under way is less than a thousand, so each cut hits a reader that has not come to the end.
    for enough in [1, 1_500, 3_000] {
        while entries.len() < enough {
            entries.extend(scene.read(&mut reader).await.unwrap());
        }
        scene.wire.cut();
    }
    while let Some(batch) = scene.read(&mut reader).await {
        entries.extend(batch);
    }
    assert_eq!(crate::books::sorted_ids(&entries), Vec::from_iter(0..COUNT));
    assert_eq!(scene.wire.accepted.load(Ordering::SeqCst), 4);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_broker_stays_away_says_so_and_not_that_this_was_the_end() {
    let mut scene = Scene::with(2_000).await;
    let mut reader = scene.operator.read_journal(JournalStart::Oldest);
    let read = scene.read(&mut reader).await.unwrap().len();
    scene.wire.close();
    let away = async {
        loop {
            match reader.next_batch(100).await {
                Ok(batch) => assert!(batch.is_some(), "after {read} entries it says it is done"),
                Err(why) => return why,
            }
        }
    };
    let why = timeout(PATIENCE, away).await.expect("it gives up");
    assert!(matches!(why, JournalError::Away(_)), "{why}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_program_stops_does_not_say_that_this_was_the_end() {
    let mut scene = Scene::with(2_000).await;
    let mut reader = scene.operator.read_journal(JournalStart::Oldest);
    scene.read(&mut reader).await.unwrap();
    scene.stop.cancel();
    let stopped = async {
        loop {
            match reader.next_batch(100).await {
                Ok(batch) => assert!(batch.is_some(), "it says it is done"),
                Err(why) => return why,
            }
        }
    };
    let why = timeout(DEADLINE, stopped).await.expect("it ends");
    assert!(matches!(why, JournalError::Away(_)), "{why}");
    scene.stop().await;
}
