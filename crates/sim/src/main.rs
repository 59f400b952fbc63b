//! `cargo xtask sim`: runs schedules until one breaks an invariant, and prints the shortest that does.

use clap::Parser;
use sim::{Schedule, Violation, run, shrink};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Runs seeded schedules over the simulated broker, ledger and Redis.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Print what happened, step by step, of each seed
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let broken = try_all(&arguments);
    let seconds = started.elapsed().as_secs_f64();
    if let Some((schedule, violation)) = broken {
        report(&schedule, &violation);
        return ExitCode::FAILURE;
    }
    let Arguments { seeds, from, .. } = arguments;
    println!("{seeds} schedules from seed {from} in {seconds:.1} s, and every invariant holds");
    ExitCode::SUCCESS
}

/// As many threads as the machine has cores. Of several that fail, the lowest seed is reported.
fn try_all(arguments: &Arguments) -> Option<(Schedule, Violation)> {
    let next = AtomicU64::new(arguments.from);
    let is_broken = AtomicBool::new(false);
    let end = arguments.from + arguments.seeds;
    let work = || {
        while !is_broken.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let schedule = Schedule::of(seed);
            let outcome = run(&schedule, arguments.trace);
            outcome.trace.iter().for_each(|line| println!("{line}"));
            if let Some(violation) = outcome.violation {
                is_broken.store(true, Ordering::Relaxed);
                return Some((schedule, violation));
            }
        }
        None
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().filter_map(|thread| thread.join().ok());
        ended.flatten().collect::<Vec<_>>()
    });
    found.into_iter().min_by_key(|(schedule, _)| schedule.seed)
}

fn report(schedule: &Schedule, violation: &Violation) {
    let seed = schedule.seed;
    println!("seed {seed} breaks {violation}\n");
    let shortest = shrink(schedule, violation);
    let outcome = run(&shortest, true);
    println!("the shortest schedule that breaks it:\n{shortest}");
    println!("what happened:");
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!("\nagain: cargo xtask sim --from {seed} --seeds 1");
}
