//! A world: everything together, on one thread, under a clock that stands until nothing is left to do.

use crate::books::{Books, Violation, pipeline};
use crate::broker::{Latency, Server};
use crate::clock;
use crate::doors::Doors;
use crate::fleet::{Fleet, Site};
use crate::ledger::Database;
use crate::redis::Redis;
use crate::schedule::{Schedule, Step};
use broker::{Journal, Pipeline, SourceFilter, Topology};
use envelope::Key;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// What a schedule led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The first invariant that was broken.
    pub violation: Option<Violation>,
    /// Equal for equal runs.
    pub fingerprint: u64,
    /// What happened, where it was to be kept.
    pub trace: Vec<String>,
}

/// After the last step: longer than all retries, every hold and every lease together.
const REST_MAX: Duration = Duration::from_secs(600);

/// Older than anything that could bring an event back, in a world that lasts minutes.
const RETENTION: Duration = Duration::from_secs(660);

/// Runs a schedule, from its seed alone.
pub fn run(schedule: &Schedule, keep_trace: bool) -> Outcome {
    fastrand::seed(schedule.seed);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    let books = Arc::new(Books::kept(keep_trace));
    let world = async {
        clock::start();
        let world = World::new(schedule, books.clone());
        world.play(schedule).await;
    };
    runtime.block_on(world);
    // Its tasks end before the books are read: what they do while they are dropped is part of no world.
    let outcome = Outcome {
        violation: books.violation(),
        fingerprint: books.fingerprint(),
        trace: books.lines(),
    };
    drop(runtime);
    outcome
}

struct World {
    books: Arc<Books>,
    broker: Arc<Server>,
    database: Arc<Database>,
    redis: Redis,
    doors: Doors,
    fleet: Fleet,
    sent: Vec<std::cell::Cell<u32>>,
}

impl World {
    fn new(schedule: &Schedule, books: Arc<Books>) -> Self {
        for role in &schedule.cast {
            books.cast(&role.id(), role.nature);
        }
        let latency = Latency::UpTo(4);
        let broker = Server::new(topology(), books.clone(), latency);
        let database = Database::new(books.clone(), latency);
        let redis = Redis::default();
        let (door_events, worker_events) = crate::metrics::shared();
        let site = Site {
            books: books.clone(),
            broker: broker.clone(),
            database: database.clone(),
            redis: schedule.setup.has_redis.then(|| redis.clone()),
            events: worker_events,
            setup: schedule.setup,
        };
        Self {
            doors: Doors::start(
                books.clone(),
                broker.clone(),
                door_events,
                schedule.setup.has_spool,
            ),
            fleet: Fleet::start(site),
            books,
            broker,
            database,
            redis,
            sent: schedule.cast.iter().map(|_| Default::default()).collect(),
        }
    }

    async fn play(&self, schedule: &Schedule) {
        for (number, step) in schedule.steps.iter().enumerate() {
            self.books.note(format_args!("step {number}: {step:?}"));
            self.take(schedule, *step);
            // Everything that can happen without time passing has happened by then.
            sleep(Duration::from_millis(1)).await;
            if let Step::Pass(millis) = step {
                sleep(Duration::from_millis(*millis)).await;
            }
            if let Step::Retention = step {
                sleep(RETENTION).await;
                self.retire();
            }
            if self.books.violation().is_some() {
                return;
            }
        }
        self.come_to_rest().await;
    }

    fn take(&self, schedule: &Schedule, step: Step) {
        let millis = Duration::from_millis;
        match step {
            Step::Send(event) => self.send(schedule, event),
            Step::Storm(event, times) => (0..times).for_each(|_| self.send(schedule, event)),
            Step::Pass(_) => {}
            // Retention is longer than any alarm: a worker that waits with a copy for its end is no more
            // by then.
            Step::Retention => self.broker.set_alarm(false),
            Step::KillWorker(worker, down) => self.fleet.kill(worker, millis(down)),
            Step::StopWorker(worker) => self.fleet.stop(worker),
            Step::CutWorker(worker, away) => self.fleet.cut(worker, millis(away)),
            Step::CloseChannel(worker) => self.fleet.close_channel(worker),
            Step::KillDoor(door) => self.doors.kill(door),
            Step::CutDoor(door, away) => self.doors.cut(door, millis(away)),
            Step::LoseConfirms(count) => self.broker.lose_confirms(count),
            Step::RefusePublishes(count) => self.broker.refuse_publishes(count),
            Step::Alarm(is_on) => self.broker.set_alarm(is_on),
            Step::Shuffle => self.broker.shuffle(),
            Step::Trouble(trouble, times) => self.database.trouble(trouble, times),
            Step::LedgerAway(length) => self.database.go_away(millis(length)),
            Step::FailOver => self.fail_over(),
            Step::FlushRedis => self.redis.flush(),
            Step::FreezeRedis(length) => self.redis.freeze(millis(length)),
            Step::ExpireClaims => self.redis.expire_claims(),
            Step::MoveClock(seconds) => clock::shift(seconds),
        }
    }

    fn send(&self, schedule: &Schedule, event: usize) {
        let role = schedule.cast[event];
        // Retention is longer than any sender sends again.
        if !self.books.is_retired(&role.id()) {
            let sent = &self.sent[event];
            self.doors.send(role, sent.get());
            sent.set(sent.get() + 1);
        }
    }

    /// A standby takes over that had not heard of the last commits. Only rows whose events are still ready
    /// are gone: others are lost for good, and no queue could help.
    fn fail_over(&self) {
        let ready = self.broker.ready();
        let is_ready = |id: &str, body: &[u8]| {
            let mut events = ready.iter();
            events.any(|(ready, ready_body)| ready == id && ready_body == body)
        };
        let mut tables = self.database.tables();
        let rows = tables.processed.iter();
        let forgotten = rows.filter(|(_, row)| is_ready(row.event_id.as_str(), &row.payload));
        let keys: Vec<Key> = forgotten.map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(row) = tables.delete(key) {
                tables.forget_effects(&row.event_id);
                self.books.forgotten(row.event_id.as_str(), &row.payload);
            }
        }
    }

    fn retire(&self) {
        let mut tables = self.database.tables();
        let is_due = |row: &crate::ledger::Processed| {
            row.age() >= RETENTION && self.books.is_over(row.event_id.as_str())
        };
        let rows = tables.processed.iter();
        let keys: Vec<Key> = rows
            .filter(|(_, row)| is_due(row))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            if let Some(row) = tables.delete(key) {
                self.books.retired(row.event_id.as_str(), &row.payload);
            }
        }
    }

    /// Nothing goes wrong any more: whatever was accepted reaches its end.
    async fn come_to_rest(&self) {
        self.books.note(format_args!("nothing goes wrong any more"));
        self.broker.heal();
        self.database.heal();
        let begun = clock::elapsed();
        while self.broker.under_way() + self.doors.under_way() > 0 {
            sleep(Duration::from_millis(500)).await;
            if self.books.violation().is_some() {
                return;
            }
            if clock::elapsed() - begun > REST_MAX {
                let left = (self.broker.under_way(), self.doors.under_way());
                let what = format!("after {REST_MAX:?} {left:?} are still under way");
                self.books.violate("liveness", what);
                return;
            }
        }
        self.books.close();
        self.database.tables().audit(&self.books);
    }
}

fn topology() -> Topology {
    let pipeline = Pipeline {
        name: pipeline(),
        sources: SourceFilter::All,
    };
    Topology {
        sources: vec!["default".parse().expect("a name of ours")],
        pipelines: vec![pipeline],
        journal: Some(Journal::default()),
    }
}
