//! That schedules do what they promise: each thing that can go wrong does, and often enough to be seen.

use sim::ledger::Trouble;
use sim::{Schedule, Step, run};
use std::collections::BTreeMap;

const SEEDS: u64 = 300;
/// Of each kind, in so many schedules.
const OFTEN: usize = 20;

/// No wildcard: a new step is named here, or does not compile.
fn name(step: Step) -> &'static str {
    match step {
        Step::Send(_) => "deliver",
        Step::Storm(..) => "duplicate",
        Step::Pass(_) => "time",
        Step::KillWorker(..) => "kill a worker",
        Step::StopWorker(_) => "stop a worker",
        Step::CutWorker(..) => "cut a worker's connection",
        Step::CloseChannel(_) => "close a channel",
        Step::KillDoor(_) => "kill a door",
        Step::CutDoor(..) => "cut a door's connection",
        Step::LoseConfirms(_) => "lose confirms",
        Step::RefusePublishes(_) => "refuse publishes",
        Step::Alarm(_) => "alarm",
        Step::Shuffle => "reorder",
        Step::Trouble(trouble, _) => troubled(trouble),
        Step::LedgerAway(_) => "database away",
        Step::FailOver => "fail over",
        Step::Retention => "delete rows by retention",
        Step::FlushRedis => "flush Redis",
        Step::FreezeRedis(_) => "freeze Redis",
        Step::ExpireClaims => "expire claims",
        Step::MoveClock(_) => "move the clock",
    }
}

fn troubled(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::NoConnection => "no connection",
        Trouble::BeforeCommit => "session ended before COMMIT",
        Trouble::ReplyLost => "lose the COMMIT's reply",
        Trouble::CommitLost => "lose the COMMIT",
        Trouble::Contention => "contention",
        Trouble::Slow(_) => "slow database",
        Trouble::DiesBeforeCommit => "crash before the commit",
        Trouble::DiesAfterCommit => "crash after the commit",
    }
}

const KINDS: usize = 28;

#[test]
fn everything_that_can_go_wrong_does() {
    let mut seen = BTreeMap::<&str, usize>::new();
    for step in (0..SEEDS).flat_map(|seed| Schedule::of(seed).steps) {
        *seen.entry(name(step)).or_default() += 1;
    }
    assert_eq!(seen.len(), KINDS, "{seen:#?}");
    assert!(seen.values().all(|times| *times >= OFTEN), "{seen:#?}");
}

/// How workers died: with a transaction open that nobody commits any more, and with one that is committed.
#[derive(Debug, Default)]
struct Deaths {
    before_the_commit: usize,
    after_the_commit: usize,
}

impl Deaths {
    fn count(&mut self, trace: &[String]) {
        let mut open = BTreeMap::<&str, bool>::new();
        for line in trace {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[1..] {
                // Transactions follow one another, so what is applied is that of whoever began last.
                [worker, "begins", ..] => drop(open.insert(worker, false)),
                ["applied", _] => open.values_mut().for_each(|applied| *applied = true),
                [worker, "knows", ..] => drop(open.remove(worker)),
                ["died", worker] => match open.remove(worker) {
                    Some(true) => self.after_the_commit += 1,
                    Some(false) => self.before_the_commit += 1,
                    None => {}
                },
                _ => {}
            }
        }
    }
}

#[test]
fn workers_die_before_a_commit_and_after_it() {
    let mut deaths = Deaths::default();
    for seed in 0..SEEDS / 3 {
        deaths.count(&run(&Schedule::of(seed), true).trace);
    }
    println!("{deaths:?}");
    let Deaths {
        before_the_commit,
        after_the_commit,
    } = deaths;
    assert!(before_the_commit >= OFTEN && after_the_commit >= OFTEN);
}
