//! A provider under an open rate: it sends on time, whether or not it has been answered.

use crate::account::{Account, Kind};
use crate::sender::Event;
use fastrand::Rng;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Of a hundred sends so many are events that were sent before: what providers do after a timeout.
const DUPLICATES: u32 = 5;
/// Of a thousand events so many cannot be read.
const POISON: u32 = 5;
/// Orders that all payments belong to: few enough that workers meet at one row.
const ORDERS: usize = 97;
/// A duplicate follows its first copy by at most so many events.
const MEMORY: usize = 2000;
/// Requests without an answer. At 300 a second and an answer deadline of 800 ms some 240 are honest.
const IN_FLIGHT: usize = 1024;

#[derive(Debug)]
pub struct Load {
    account: Arc<Mutex<Account>>,
    stop: CancellationToken,
    pouring: JoinHandle<()>,
}

impl Load {
    /// `rate` events a second over these doors.
    pub fn start(doors: Vec<String>, rate: u32, seed: u64) -> Self {
        let account = Account::new(&format!("s{seed}"), doors.len());
        let (account, stop) = (Arc::new(Mutex::new(account)), CancellationToken::new());
        let sender = Sender {
            client: client(),
            doors: doors.into(),
            account: account.clone(),
            room: Arc::new(Semaphore::new(IN_FLIGHT)),
            sends: TaskTracker::new(),
            rng: Rng::with_seed(seed),
        };
        let pouring = tokio::spawn(sender.pour(rate, stop.clone()));
        Self {
            account,
            stop,
            pouring,
        }
    }

    pub fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    /// Stops sending, and waits for the answers that are due.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        (&mut self.pouring).await.unwrap();
    }
}

struct Sender {
    client: reqwest::Client,
    doors: Arc<[String]>,
    account: Arc<Mutex<Account>>,
    room: Arc<Semaphore>,
    sends: TaskTracker,
    rng: Rng,
}

impl Sender {
    async fn pour(mut self, rate: u32, stop: CancellationToken) {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        // A rate is a promise: what a busy machine kept us from sending follows.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.send_one();
        }
        self.sends.close();
        self.sends.wait().await;
    }

    fn send_one(&mut self) {
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            self.account.lock().unwrap().held_back += 1;
            return;
        };
        let (number, event) = self.next();
        let door = self.rng.usize(..self.doors.len());
        let (client, doors) = (self.client.clone(), self.doors.clone());
        let account = self.account.clone();
        self.sends.spawn(async move {
            let answer = event.by(&client, &doors[door]).send().await;
            let answer = answer.map(|answer| answer.status());
            account.lock().unwrap().note(number, door, answer);
            drop(room);
        });
    }

    /// A new event, or one that was sent before.
    fn next(&mut self) -> (usize, Event) {
        let mut account = self.account.lock().unwrap();
        let sent = account.events.len();
        let number = if sent > 0 && self.rng.u32(..100) < DUPLICATES {
            account.duplicates += 1;
            self.rng.usize(sent.saturating_sub(MEMORY)..sent)
        } else if self.rng.u32(..1000) < POISON {
            account.open(Kind::Poison)
        } else {
            account.open(Kind::Payment)
        };
        let id = account.id(number);
        (number, event(account.events[number].kind, &id, number))
    }
}

/// The same bytes for the same event, so that a copy is a copy.
fn event(kind: Kind, id: &str, number: usize) -> Event {
    match kind {
        Kind::Poison => Event::new(id, format!("poison {id}")),
        Kind::Payment => {
            let (order, amount) = (number % ORDERS, amount(number));
            let fields = format!(r#""orderId":"order_{order}","amount":{amount}"#);
            Event::new(
                id,
                format!(r#"{{"id":"{id}",{fields},"status":"completed"}}"#),
            )
        }
    }
}

/// Differs from event to event, so that a lost one and a double do not cancel out in a sum.
pub fn amount(number: usize) -> usize {
    number % 9973 + 1
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().timeout(Duration::from_secs(10));
    builder.build().unwrap()
}
