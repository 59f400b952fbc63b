//! The workers: started, stopped, killed, and started again.

use crate::books::{Books, pipeline};
use crate::broker::{Link, Server};
use crate::clock;
use crate::ledger::{Database, SimLedger};
use crate::redis::Redis;
use crate::schedule::Setup;
use broker::QueueName;
use ledger::Recall;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use worker::handlers::payments::Payments;
use worker::{Bounds, Events, Worker};

/// How long a worker that died by an event is away.
const DOWN: Duration = Duration::from_millis(200);

/// What workers share.
#[derive(Clone)]
pub struct Site {
    /// The oracle.
    pub books: Arc<Books>,
    /// The broker.
    pub broker: Arc<Server>,
    /// The database.
    pub database: Arc<Database>,
    /// The claims, where there are any.
    pub redis: Option<Redis>,
    /// Metrics, which nobody reads.
    pub events: Events,
    /// How many there are, and with which bounds.
    pub setup: Setup,
}

/// The workers. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    site: Arc<Site>,
    slots: Arc<Mutex<Vec<Slot>>>,
}

#[derive(Default)]
struct Slot {
    incarnation: u32,
    running: Option<Running>,
}

struct Running {
    name: String,
    link: Link,
    stop: CancellationToken,
    task: AbortHandle,
}

impl Fleet {
    /// Starts as many as the setup says.
    pub fn start(site: Site) -> Self {
        let count = site.setup.workers;
        let fleet = Self {
            site: Arc::new(site),
            slots: Arc::new(Mutex::new((0..count).map(|_| Slot::default()).collect())),
        };
        (0..count).for_each(|number| fleet.start_one(number));
        fleet
    }

    /// Kills a worker; another takes its place after a while.
    pub fn kill(&self, number: usize, down: Duration) {
        let Some(running) = self.slot(number).running.take() else {
            return;
        };
        self.site.books.died(&running.name);
        running.link.kill();
        running.task.abort();
        self.start_later(number, down);
    }

    /// Tells a worker to stop, as SIGTERM does.
    pub fn stop(&self, number: usize) {
        if let Some(running) = &self.slot(number).running {
            running.stop.cancel();
        }
    }

    /// Cuts a worker's connection to the broker.
    pub fn cut(&self, number: usize, away: Duration) {
        if let Some(running) = &self.slot(number).running {
            running.link.cut(away);
        }
    }

    /// The broker closes a worker's channel.
    pub fn close_channel(&self, number: usize) {
        if let Some(running) = &self.slot(number).running {
            running.link.close_channels();
        }
    }

    fn start_later(&self, number: usize, down: Duration) {
        let fleet = self.clone();
        tokio::spawn(async move {
            sleep(down).await;
            fleet.start_one(number);
        });
    }

    fn start_one(&self, number: usize) {
        let mut slots = self.slots();
        let slot = &mut slots[number];
        if slot.running.is_some() {
            return;
        }
        slot.incarnation += 1;
        let name = format!("w{number}.{}", slot.incarnation);
        let (stop, last) = (CancellationToken::new(), CancellationToken::new());
        let link = Link::new(self.site.broker.clone(), last.clone());
        let working = self.work(number, &name, &link, stop.clone());
        slot.running = Some(Running {
            name: name.clone(),
            link: link.clone(),
            stop: stop.clone(),
            task: working.abort_handle(),
        });
        drop(slots);
        let fleet = self.clone();
        tokio::spawn(async move {
            let ended = working.await;
            fleet.ended(&name, ended, &stop);
            if stop.is_cancelled() {
                last.cancel();
                link.stopped().await;
                fleet.replace(number, &name);
            }
        });
    }

    fn work(
        &self,
        number: usize,
        name: &str,
        link: &Link,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let site = &*self.site;
        let bounds = Bounds {
            prefetch: site.setup.prefetch,
            batch_max: site.setup.batch_max,
            max_rate: None,
            drain_timeout: Duration::from_secs(5),
        };
        let fleet = self.clone();
        let dies = move || fleet.kill(number, DOWN);
        let worker = Worker::new(
            name.to_owned(),
            pipeline(),
            SimLedger::new(site.database.clone(), name, dies),
            site.redis.as_ref().map_or(Recall::none(), Redis::recall),
            Payments,
            link.publisher(),
            site.events.clone(),
            bounds,
        )
        .with_clock(clock::now);
        let link = link.clone();
        let consume = move || link.consumer(QueueName::main(&pipeline()), bounds.prefetch);
        tokio::spawn(worker.run(consume, stop))
    }

    /// A worker ends when it is killed or told to stop, and never by itself.
    fn ended(&self, name: &str, ended: Result<(), JoinError>, stop: &CancellationToken) {
        match ended {
            Ok(()) if stop.is_cancelled() => self.site.books.stopped(name),
            Ok(()) => self
                .site
                .books
                .violate("liveness", format!("{name} ended by itself")),
            Err(why) if why.is_cancelled() => {}
            Err(why) => self
                .site
                .books
                .violate("liveness", format!("{name}: {why}")),
        }
    }

    fn replace(&self, number: usize, name: &str) {
        let mut slot = self.slots();
        let slot = &mut slot[number];
        if slot
            .running
            .as_ref()
            .is_some_and(|running| running.name == name)
        {
            slot.running = None;
            self.start_later(number, DOWN);
        }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, number: usize) -> impl std::ops::DerefMut<Target = Slot> + '_ {
        SlotGuard(self.slots(), number)
    }
}

struct SlotGuard<'a>(MutexGuard<'a, Vec<Slot>>, usize);

impl std::ops::Deref for SlotGuard<'_> {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.0[self.1]
    }
}

impl std::ops::DerefMut for SlotGuard<'_> {
    fn deref_mut(&mut self) -> &mut Slot {
        &mut self.0[self.1]
    }
}
