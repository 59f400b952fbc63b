//! What each part takes of the processor and of the memory, from `/proc`, once a second.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

/// Reads until it is finished.
#[derive(Debug)]
pub struct Meter {
    readings: Arc<Mutex<Vec<Reading>>>,
    reading: JoinHandle<()>,
}

/// Everything that was read.
#[derive(Debug)]
pub struct Readings(Vec<Reading>);

#[derive(Clone, Debug)]
struct Reading {
    /// Seconds since 1970.
    at: f64,
    parts: BTreeMap<&'static str, Part>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    cpu_seconds: f64,
    resident_kib: u64,
}

/// Reading costs some dozen small files.
const EVERY: Duration = Duration::from_secs(1);

impl Meter {
    /// Of these processes, each with its children.
    pub fn start(parts: Vec<(&'static str, u32)>) -> Self {
        let readings = Arc::<Mutex<Vec<Reading>>>::default();
        let into = readings.clone();
        let reading = tokio::spawn(async move {
            let mut second = tokio::time::interval(EVERY);
            loop {
                second.tick().await;
                let reading = Reading::of(&parts);
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(reading);
            }
        });
        Self { readings, reading }
    }

    pub fn finish(self) -> Readings {
        self.reading.abort();
        Readings(std::mem::take(
            &mut *self.readings.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

impl Reading {
    fn of(parts: &[(&'static str, u32)]) -> Self {
        let read = parts.iter().map(|(name, pid)| (*name, Part::of(*pid)));
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            at: since.unwrap_or_default().as_secs_f64(),
            parts: read.collect(),
        }
    }
}

impl Part {
    /// A process and everything under it. The shared memory of Postgres is counted for each of its children, so only
    /// what a process with none holds means anything.
    fn of(pid: u32) -> Self {
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok());
        let own = Self {
            cpu_seconds: loadtest::cpu_seconds(pid).unwrap_or_default(),
            resident_kib: resident_kib(pid).unwrap_or_default(),
        };
        children.map(Self::of).fold(own, |sum, child| Self {
            cpu_seconds: sum.cpu_seconds + child.cpu_seconds,
            resident_kib: sum.resident_kib + child.resident_kib,
        })
    }
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Readings {
    /// The seconds of processor each part took in this window, scaled from the readings within it.
    pub fn cpu_seconds(&self, (from, until): (f64, f64)) -> BTreeMap<&'static str, f64> {
        let within: Vec<&Reading> = self
            .0
            .iter()
            .filter(|reading| (from..=until).contains(&reading.at))
            .collect();
        let (Some(first), Some(last)) = (within.first(), within.last()) else {
            return BTreeMap::new();
        };
        let scale = (until - from) / (last.at - first.at);
        let took =
            |name: &'static str| last.parts[name].cpu_seconds - first.parts[name].cpu_seconds;
        first
            .parts
            .keys()
            .map(|name| (*name, took(name) * scale))
            .collect()
    }

    /// The most a part held, in MiB.
    pub fn peak_mib(&self, name: &str) -> u64 {
        let held = self.0.iter().filter_map(|reading| reading.parts.get(name));
        held.map(|part| part.resident_kib).max().unwrap_or_default() / 1_024
    }

    /// What it held at this share of the readings, in MiB.
    pub fn mib_at(&self, name: &str, share: f64) -> u64 {
        let place = (self.0.len().saturating_sub(1)) as f64 * share;
        let part = self
            .0
            .get(place as usize)
            .and_then(|reading| reading.parts.get(name));
        part.map_or(0, |part| part.resident_kib / 1_024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_between_readings_is_scaled() {
        let reading = |at: f64, cpu_seconds: f64| Reading {
            at,
            parts: BTreeMap::from([(
                "it",
                Part {
                    cpu_seconds,
                    resident_kib: (at * 1_024.0) as u64,
                },
            )]),
        };
        let readings = Readings(vec![
            reading(10.0, 1.0),
            reading(11.0, 1.5),
            reading(12.0, 2.0),
            reading(13.0, 9.0),
        ]);
        let took = readings.cpu_seconds((9.5, 12.5));
        assert!((took["it"] - 1.5).abs() < 1e-9, "{took:?}");
        assert_eq!(
            (readings.peak_mib("it"), readings.mib_at("it", 0.5)),
            (13, 11)
        );
    }

    #[test]
    fn this_process_is_read() {
        let part = Part::of(std::process::id());
        assert!(part.resident_kib > 0);
    }
}
