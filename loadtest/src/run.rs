//! The run: lanes that send, a pacer that wakes them, an observer that closes the seconds. All on one thread:
//! nobody waits for a lock, and the generator takes one core of the machine at most.

use crate::agenda::{Agenda, Next, Turn};
use crate::answers::Answers;
use crate::connection::{Connection, Failure};
use crate::cpu::cpu_seconds;
use crate::event::Maker;
use crate::mix::{Kind, Mix};
use crate::observer::Observer;
use crate::ramp::Step;
use crate::tally::{Ending, Tally};
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What a run is made of.
#[derive(Debug)]
pub struct Plan {
    /// Where to.
    pub address: SocketAddr,
    /// How many requests may be on their way at a time, each on a connection of its own.
    pub connections: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Makes the requests.
    pub maker: Maker,
    /// Decides what they are.
    pub mix: Mix,
    /// What is to be sent.
    pub agenda: Agenda,
    /// Looks on.
    pub observer: Observer,
}

/// What has come of it.
#[derive(Debug)]
pub struct Ran {
    /// What was counted.
    pub tally: Tally,
    /// Which events were sent and accepted.
    pub answers: Answers,
    /// The steps of a ramp.
    pub steps: Vec<Step>,
    /// From the first moment to the last answer.
    pub took: Duration,
    /// When the last answer was there, in microseconds since 1970.
    pub ended_at: i64,
    /// What this process took of the processor from the first moment to the last answer.
    pub cpu_seconds: Option<f64>,
    /// Stopped by hand.
    pub was_stopped: bool,
}

/// Answers of ours have some hundred bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Shared by everything that runs.
#[derive(Debug)]
pub(crate) struct Run {
    clock: Instant,
    timeout: Duration,
    maker: Maker,
    mix: Mix,
    agenda: RefCell<Agenda>,
    pub(crate) tally: RefCell<Tally>,
    answers: RefCell<Answers>,
}

/// Sends everything there is to send, and waits for the answers. `clock` is when the run begins.
///
/// # Errors
/// Where it cannot be begun.
pub fn run(plan: Plan, clock: Instant, stop: &CancellationToken) -> anyhow::Result<Ran> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(LocalSet::new().block_on(&runtime, send_all(plan, clock, stop)))
}

async fn send_all(plan: Plan, clock: Instant, stop: &CancellationToken) -> Ran {
    let cpu_before = cpu_seconds(std::process::id());
    let run = Rc::new(Run {
        clock,
        timeout: plan.timeout,
        maker: plan.maker,
        mix: plan.mix,
        agenda: RefCell::new(plan.agenda),
        tally: RefCell::default(),
        answers: RefCell::default(),
    });
    let mut lanes = JoinSet::new();
    for _ in 0..plan.connections {
        let lane = Lane::new(plan.address);
        lanes.spawn_local(lane.run(run.clone()));
    }
    let pacer = tokio::task::spawn_local(pace(run.clone(), stop.clone()));
    let mut observer = plan.observer;
    tokio::select! {
        () = all(&mut lanes) => {}
        never = observer.look_on(&run) => match never {},
    }
    pacer.abort();
    let took = run.now();
    let cpu_after = cpu_seconds(std::process::id());
    run.give_up_what_is_overdue(took);
    Ran {
        steps: observer.finish(&run),
        tally: run.tally.take(),
        answers: run.answers.take(),
        took,
        ended_at: unix_micros(),
        cpu_seconds: cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after - before),
        was_stopped: stop.is_cancelled(),
    }
}

async fn all(lanes: &mut JoinSet<()>) {
    while lanes.join_next().await.is_some() {}
}

/// Wakes a lane whenever something is due.
///
/// A timer of tokio has a resolution of a millisecond, so at 5,000/s five or six go out together: smooth enough
/// for a door, and a wake-up for each of them would cost more than sending it. How late they are is measured.
async fn pace(run: Rc<Run>, stop: CancellationToken) {
    loop {
        let now = run.now();
        let next = {
            let mut agenda = run.agenda.borrow_mut();
            agenda.wake_one(now);
            agenda.next_due()
        };
        let Some(next) = next else {
            return run.agenda.borrow_mut().dismiss();
        };
        // Something overdue waits for a lane, which takes it without being woken.
        let wait = next.saturating_sub(now).max(RESOLUTION);
        tokio::select! {
            biased;
            () = stop.cancelled() => return run.stop(),
            () = sleep(wait) => {}
        }
    }
}

const RESOLUTION: Duration = Duration::from_millis(1);

impl Run {
    /// Since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Nothing more is sent.
    pub(crate) fn stop(&self) {
        self.agenda.borrow_mut().stop();
    }

    /// Waits for something to send; nothing once the run is over.
    async fn next(&self) -> Option<Turn> {
        poll_fn(|context| {
            let now = self.now();
            let mut agenda = self.agenda.borrow_mut();
            match agenda.next(now) {
                Next::Send(turn) => {
                    agenda.wake_one(now);
                    Poll::Ready(Some(turn))
                }
                Next::Wait => {
                    agenda.wait(context.waker());
                    Poll::Pending
                }
                Next::Over => Poll::Ready(None),
            }
        })
        .await
    }

    fn begin(&self, turn: &Turn) {
        let mut tally = self.tally.borrow_mut();
        tally.offer(turn.due);
        tally.copies += u64::from(turn.is_copy);
    }

    /// It is about to be written.
    fn sending(&self, turn: &Turn) {
        self.answers.borrow_mut().sent.insert(turn.event);
        self.tally.borrow_mut().send(turn.due, self.now());
    }

    fn failed(&self, failure: &Failure) -> Ending {
        let mut tally = self.tally.borrow_mut();
        tally
            .first_failure
            .get_or_insert_with(|| failure.to_string());
        match failure {
            Failure::NotSent(_) => Ending::Unsent,
            Failure::NotAnswered(_) => Ending::Unanswered,
        }
    }

    fn end(&self, turn: &Turn, ending: Ending) {
        if matches!(ending, Ending::Accepted { .. }) {
            self.answers.borrow_mut().accepted.insert(turn.event);
        }
        self.tally.borrow_mut().end(ending, turn.due, self.now());
    }

    fn give_up_what_is_overdue(&self, now: Duration) {
        let mut tally = self.tally.borrow_mut();
        for due in self.agenda.borrow_mut().overdue(now) {
            tally.offer(due);
            tally.end(Ending::Unsent, due, now);
        }
    }
}

/// One connection, and room for one request.
struct Lane {
    connection: Connection,
    body: Vec<u8>,
    request: Vec<u8>,
}

impl Lane {
    fn new(address: SocketAddr) -> Self {
        Self {
            connection: Connection::new(address, ANSWER_MAX_BYTES),
            body: Vec::new(),
            request: Vec::new(),
        }
    }

    async fn run(mut self, run: Rc<Run>) {
        while let Some(turn) = run.next().await {
            run.begin(&turn);
            let ending = self.send(&run, &turn).await;
            run.end(&turn, ending);
        }
    }

    async fn send(&mut self, run: &Run, turn: &Turn) -> Ending {
        let kind = run.mix.kind(turn.event);
        if let Err(failure) = in_time(run.timeout, Failure::NotSent, self.connection.open()).await {
            return run.failed(&failure);
        }
        let now = unix_micros() / 1_000_000;
        run.maker.write(
            turn.event,
            kind,
            now.unsigned_abs(),
            &mut self.body,
            &mut self.request,
        );
        run.sending(turn);
        match in_time(
            run.timeout,
            Failure::NotAnswered,
            self.connection.exchange(&self.request),
        )
        .await
        {
            Ok(answer) => ending(answer.status, kind),
            Err(failure) => run.failed(&failure),
        }
    }
}

/// A connection whose answer is late is closed by being dropped in the middle of it.
async fn in_time<T>(
    patience: Duration,
    late: impl Fn(std::io::Error) -> Failure,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let done = timeout(patience, exchange).await;
    done.unwrap_or_else(|_| Err(late(std::io::ErrorKind::TimedOut.into())))
}

fn ending(status: u16, kind: Kind) -> Ending {
    match (status, kind) {
        (200 | 202, Kind::Forged) => Ending::LetIn,
        (403, Kind::Forged) => Ending::Repelled,
        (200 | 202, _) => Ending::Accepted {
            spooled: status == 202,
        },
        (refused, _) => Ending::Refused(refused),
    }
}

pub(crate) fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}
