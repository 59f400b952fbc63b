//! What the ledger is asked while its breaker is open, and how consumption begins again. Over the
//! simulation's broker and ledger, so that a minute takes no time.

use crate::{BODY, event};
use broker::{Destination, LaneState, Pipeline, QueueName, SourceFilter, Topology};
use envelope::{Key, PipelineName};
use ledger::{Candidate, DeadLetter, Found, Handler, Ledger, Recall, Verdict};
use prometheus::Registry;
use resilience::Fault;
use sim::broker::{Latency, Link, Server};
use sim::ledger::{Database, SimLedger, Trouble};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use worker::handlers::payments::Payments;
use worker::{Bounds, Metrics, Worker};

/// Longer than any of these takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a ledger was asked, and whether it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Commit {
        events: usize,
        answered: bool,
    },
    Probe {
        answered: bool,
    },
    /// Of Redis, not of the ledger.
    Claim {
        events: usize,
    },
}

use Asked::{Commit, Probe};

/// The simulated ledger, and a record of what it was asked.
#[derive(Clone)]
struct Watched {
    ledger: SimLedger,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Probes nobody has answered yet.
    probing: Arc<AtomicUsize>,
    /// Commits nobody has answered yet.
    committing: Arc<AtomicUsize>,
    /// How long a commit takes.
    takes: Duration,
}

impl Watched {
    fn note(&self, asked: Asked) {
        self.asked.lock().unwrap().push(asked);
    }
}

impl Ledger for Watched {
    async fn commit<H: Handler>(
        &self,
        handler: &H,
        batch: &[Candidate<H::Effect>],
    ) -> Result<Vec<Verdict>, Fault> {
        let others = self.committing.fetch_add(1, Ordering::SeqCst);
        assert_eq!(others, 0, "two commits at once");
        sleep(self.takes).await;
        let verdicts = self.ledger.commit(handler, batch).await;
        self.committing.fetch_sub(1, Ordering::SeqCst);
        let (events, answered) = (batch.len(), verdicts.is_ok());
        self.note(Commit { events, answered });
        verdicts
    }

    async fn ping(&self) -> Result<(), Fault> {
        let others = self.probing.fetch_add(1, Ordering::SeqCst);
        assert_eq!(others, 0, "two probes at once");
        let answer = self.ledger.ping().await;
        self.probing.fetch_sub(1, Ordering::SeqCst);
        let answered = answer.is_ok();
        self.note(Probe { answered });
        answer
    }

    async fn archive(&self, letters: &[DeadLetter]) -> Result<(), Fault> {
        self.ledger.archive(letters).await
    }

    async fn suspect_starts(&self, keys: &[Key]) -> Result<Vec<u32>, Fault> {
        self.ledger.suspect_starts(keys).await
    }

    async fn start_suspect(&self, key: Key, start: u32) -> Result<(), Fault> {
        self.ledger.start_suspect(key, start).await
    }

    async fn clear_suspects(&self, keys: &[Key]) -> Result<(), Fault> {
        self.ledger.clear_suspects(keys).await
    }

    async fn look_up(&self, pipeline: &PipelineName, key: Key) -> Result<Option<Found>, Fault> {
        self.ledger.look_up(pipeline, key).await
    }
}

/// A worker over a simulated broker and database.
pub(crate) struct Bench {
    link: Link,
    database: Arc<Database>,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) recall: Recall,
    pub(crate) commit_takes: Duration,
    consumers: Arc<AtomicUsize>,
    sent: AtomicUsize,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

fn pipeline() -> PipelineName {
    "payments".parse().unwrap()
}

impl Bench {
    pub(crate) fn new() -> Self {
        sim::clock::start();
        let topology = Topology {
            sources: vec!["default".parse().unwrap()],
            pipelines: vec![Pipeline {
                name: pipeline(),
                sources: SourceFilter::All,
            }],
            journal: None,
        };
        let server = Server::new(topology, Arc::default(), Latency::None);
        Self {
            link: Link::new(server, CancellationToken::new()),
            database: Database::new(Arc::default(), Latency::None),
            asked: Arc::default(),
            recall: Recall::none(),
            commit_takes: Duration::ZERO,
            consumers: Arc::default(),
            sent: AtomicUsize::new(0),
            stop: CancellationToken::new(),
            running: None,
        }
    }

    pub(crate) async fn send(&self, events: usize) {
        let publisher = self.link.publisher();
        while publisher.state() != LaneState::Up {
            sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..events {
            let number = self.sent.fetch_add(1, Ordering::Relaxed);
            let event = event(&format!("evt_{number}"), BODY, None);
            let publishing = publisher.publish(Destination::Events, event);
            let _confirmed = publishing.await.unwrap();
        }
    }

    pub(crate) fn start(&mut self, batch_max: usize) {
        let bounds = Bounds {
            prefetch: 64,
            batch_max,
            max_rate: None,
            drain_timeout: PATIENCE,
        };
        let ledger = Watched {
            ledger: SimLedger::new(self.database.clone(), "w1", || {}),
            asked: self.asked.clone(),
            probing: Arc::default(),
            committing: Arc::default(),
            takes: self.commit_takes,
        };
        let worker = Worker::new(
            "w1".to_owned(),
            pipeline(),
            ledger,
            self.recall.clone(),
            Payments,
            self.link.publisher(),
            Metrics::register(&Registry::new(), std::iter::empty())
                .unwrap()
                .of(&pipeline(), "w1"),
            bounds,
        );
        let (link, consumers) = (self.link.clone(), self.consumers.clone());
        let consume = move || {
            consumers.fetch_add(1, Ordering::SeqCst);
            link.consumer(QueueName::main(&pipeline()), bounds.prefetch)
        };
        self.running = Some(tokio::spawn(worker.run(consume, self.stop.clone())));
    }

    /// Waits until every event that was sent is applied, and stops. What the ledger was asked, in order.
    pub(crate) async fn asked(mut self) -> Vec<Asked> {
        let sent = self.sent.load(Ordering::Relaxed);
        let all_applied = async {
            while self.database.tables().payments.len() < sent {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let applied = timeout(PATIENCE, all_applied).await;
        applied.expect("every event is applied");
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap();
        let asked = self.asked.lock().unwrap();
        asked.clone()
    }
}

/// Commits that were answered after the first answered probe.
fn resumed(asked: &[Asked]) -> Vec<usize> {
    let back = asked.iter().position(|it| *it == Probe { answered: true });
    let after = &asked[back.expect("a probe was answered")..];
    let applied = after.iter().filter_map(|it| match it {
        Commit {
            events,
            answered: true,
        } => Some(*events),
        Commit { .. } | Probe { .. } | Asked::Claim { .. } => None,
    });
    applied.collect()
}

/// Five tries in a row that failed, and from then on nothing but probes.
fn opened_after_five_tries(asked: &[Asked]) {
    let failed = |it: &&Asked| {
        matches!(
            it,
            Commit {
                answered: false,
                ..
            }
        )
    };
    assert_eq!(asked.iter().filter(failed).count(), 5, "{asked:?}");
    let first = asked.iter().position(|it| failed(&it)).unwrap();
    let probes = asked[first + 5..].iter();
    let mut unanswered = probes.take_while(|it| **it != Probe { answered: true });
    let only_probes = unanswered.all(|it| *it == Probe { answered: false });
    assert!(only_probes, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_long_outage_what_was_in_hand_comes_again_one_event_first_then_eight_then_all() {
    let mut bench = Bench::new();
    bench.send(40).await;
    bench.database.go_away(Duration::from_secs(60));
    bench.start(256);
    let consumers = bench.consumers.clone();
    let asked = bench.asked().await;
    opened_after_five_tries(&asked);
    let resumed = resumed(&asked);
    assert_eq!(resumed[..2], [1, 8], "{resumed:?}");
    assert_eq!(resumed.iter().sum::<usize>(), 40);
    // Once given back, in one requeue, and once taken again: no loop through the broker.
    assert_eq!(consumers.load(Ordering::SeqCst), 2);
}

/// What is held for so short a time is applied from the hand; what has come meanwhile is not rushed.
#[tokio::test(start_paused = true)]
async fn after_a_short_outage_the_batch_in_hand_is_applied_and_the_next_ones_are_small() {
    let mut bench = Bench::new();
    bench.send(4).await;
    bench.database.go_away(Duration::from_secs(5));
    bench.start(256);
    sleep(Duration::from_secs(3)).await;
    bench.send(96).await;
    let consumers = bench.consumers.clone();
    let asked = bench.asked().await;
    opened_after_five_tries(&asked);
    let resumed = resumed(&asked);
    let held = 100 - resumed[1..].iter().sum::<usize>();
    assert_eq!(resumed[..3], [held, 1, 8], "{resumed:?}");
    assert_eq!(consumers.load(Ordering::SeqCst), 2);
}

/// Immediate tries of one batch, the first included.
const TRIES: usize = 4;
/// Batches in a row that lose all of them.
const CONTENDED: usize = 5;

#[tokio::test(start_paused = true)]
async fn a_breaker_that_contention_has_opened_lets_nothing_through_but_a_probe() {
    let mut bench = Bench::new();
    bench.send(20).await;
    let lost = u32::try_from(TRIES * CONTENDED).unwrap();
    bench.database.trouble(Trouble::Contention, lost);
    bench.start(1);
    let consumers = bench.consumers.clone();
    let asked = bench.asked().await;
    let (contended, after) = asked.split_at(TRIES * CONTENDED);
    let lost = Commit {
        events: 1,
        answered: false,
    };
    assert!(contended.iter().all(|it| *it == lost), "{contended:?}");
    assert_eq!(after[0], Probe { answered: true }, "{after:?}");
    assert_eq!(consumers.load(Ordering::SeqCst), 2);
}
