//! Schedules: what happens to a world, step by step, made from a seed.

use crate::cast::{Nature, Role};
use crate::ledger::Trouble;
use fastrand::Rng;
use std::fmt;

/// A world, and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What the schedule was made from; the world's own chances are drawn from it as well.
    pub seed: u64,
    /// What there is.
    pub setup: Setup,
    /// The events.
    pub cast: Vec<Role>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Workers.
    pub workers: usize,
    /// Deliveries in a worker's hand.
    pub prefetch: u16,
    /// Events in one transaction.
    pub batch_max: usize,
    /// Whether the doors have spools.
    pub has_spool: bool,
    /// Whether there is a Redis.
    pub has_redis: bool,
}

/// One thing that happens. Workers, doors and events are named by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A sender sends an event; again, where it did before.
    Send(usize),
    /// A sender sends an event so often at once.
    Storm(usize, u32),
    /// So many milliseconds pass.
    Pass(u64),
    /// A worker is killed, and replaced after so many milliseconds.
    KillWorker(usize, u64),
    /// A worker is told to stop, and replaced.
    StopWorker(usize),
    /// A worker's connection is cut for so many milliseconds.
    CutWorker(usize, u64),
    /// The broker closes a worker's channel.
    CloseChannel(usize),
    /// A door is killed, and replaced at once.
    KillDoor(usize),
    /// A door's connection is cut for so many milliseconds.
    CutDoor(usize, u64),
    /// The next publishes are stored and never confirmed.
    LoseConfirms(u32),
    /// The next publishes are refused.
    RefusePublishes(u32),
    /// The broker's alarm goes on, or off.
    Alarm(bool),
    /// What is ready is shuffled.
    Shuffle,
    /// The next transactions meet this, so often.
    Trouble(Trouble, u32),
    /// Nobody reaches the database for so many milliseconds.
    LedgerAway(u64),
    /// The database comes back without rows whose events can still come again.
    FailOver,
    /// Rows are deleted whose events cannot come again.
    Retention,
    /// Redis forgets everything.
    FlushRedis,
    /// Redis answers nothing for so many milliseconds.
    FreezeRedis(u64),
    /// Every claim runs out.
    ExpireClaims,
    /// The wall clock moves by so many seconds.
    MoveClock(i32),
}

impl Schedule {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let setup = Setup {
            workers: rng.usize(1..=3),
            prefetch: [4, 8, 20][rng.usize(..3)],
            batch_max: [1, 4, 256][rng.usize(..3)],
            has_spool: rng.bool(),
            has_redis: rng.u8(..4) > 0,
        };
        let cast = cast(&mut rng);
        let length = rng.usize(20..80);
        let steps = (0..length)
            .map(|_| step(&mut rng, &setup, cast.len()))
            .collect();
        Self {
            seed,
            setup,
            cast,
            steps,
        }
    }
}

fn cast(rng: &mut Rng) -> Vec<Role> {
    let count = rng.u32(3..16);
    let mut cast = Vec::new();
    for number in 0..count {
        let before = cast.last().map(|role: &Role| role.nature);
        let nature = match (before, rng.u8(..40)) {
            (Some(Nature::Replayed), _) => Nature::Replay,
            (_, 0) => Nature::NotJson,
            (_, 1) => Nature::Refused,
            (_, 2) => Nature::Passing(1),
            (_, 3) => Nature::Passing(3),
            (_, 4) => Nature::Stuck,
            (_, 5) => Nature::Killer,
            (_, 6) => Nature::TwoBodies,
            (_, 7) => Nature::Replayed,
            (_, _) => Nature::Healthy,
        };
        cast.push(Role { number, nature });
    }
    cast
}

fn step(rng: &mut Rng, setup: &Setup, events: usize) -> Step {
    let event = rng.usize(..events);
    let worker = rng.usize(..setup.workers);
    let away = [10, 200, 1_500, 8_000][rng.usize(..4)];
    match rng.u8(..100) {
        0..=29 => Step::Send(event),
        30..=33 => Step::Storm(event, rng.u32(2..6)),
        34..=59 => Step::Pass([1, 3, 10, 40, 150, 1_000, 6_000][rng.usize(..7)]),
        60..=65 => Step::KillWorker(worker, away),
        66..=67 => Step::StopWorker(worker),
        68..=70 => Step::CutWorker(worker, away),
        71..=72 => Step::CloseChannel(worker),
        73 => Step::KillDoor(rng.usize(..2)),
        74 => Step::CutDoor(rng.usize(..2), away),
        75..=76 => Step::LoseConfirms(rng.u32(1..4)),
        77 => Step::RefusePublishes(rng.u32(1..4)),
        78 => Step::Alarm(true),
        79..=80 => Step::Alarm(false),
        81 => Step::Shuffle,
        82..=88 => Step::Trouble(trouble(rng), rng.u32(1..8)),
        89 => Step::LedgerAway([100, 3_000, 60_000][rng.usize(..3)]),
        90..=91 => Step::FailOver,
        92 => Step::Retention,
        93..=94 => Step::FlushRedis,
        95 => Step::FreezeRedis(away),
        96..=97 => Step::ExpireClaims,
        _ => Step::MoveClock(rng.i32(-3_600..3_600)),
    }
}

fn trouble(rng: &mut Rng) -> Trouble {
    match rng.u8(..8) {
        0 => Trouble::NoConnection,
        1 => Trouble::BeforeCommit,
        2 => Trouble::ReplyLost,
        3 => Trouble::CommitLost,
        4 => Trouble::Contention,
        5 => Trouble::DiesBeforeCommit,
        6 => Trouble::DiesAfterCommit,
        _ => Trouble::Slow(rng.u64(1..20)),
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {:?}", self.seed, self.setup)?;
        for role in self
            .cast
            .iter()
            .filter(|role| role.nature != Nature::Healthy)
        {
            writeln!(f, "  {} is {:?}", role.id(), role.nature)?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {number:>3}. {step:?}")?;
        }
        Ok(())
    }
}
