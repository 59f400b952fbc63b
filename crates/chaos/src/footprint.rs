//! The memory and the descriptors of our programs, from `/proc`.

use crate::site::Site;
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::time::Duration;
use tokio::time::sleep;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    pub kibibytes: u64,
    pub descriptors: usize,
}

impl Footprint {
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kibibytes = line.split_whitespace().nth(1)?.parse().ok()?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Self {
            kibibytes,
            descriptors,
        })
    }

    fn max(self, other: Self) -> Self {
        Self {
            kibibytes: self.kibibytes.max(other.kibibytes),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }

    /// Whether it is back where it was. An allocator keeps what a backlog once needed, hence the half and
    /// the 48 MiB; a pool opens its connections when it first needs them, hence the sixteen.
    pub fn has_returned_to(self, before: Self) -> bool {
        self.kibibytes <= before.kibibytes * 3 / 2 + 48 * 1024
            && self.descriptors <= before.descriptors + 16
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.kibibytes / 1024;
        write!(out, "{mebibytes} MiB, {} descriptors", self.descriptors)
    }
}

/// What each program needed at first, at most, and now.
#[derive(Debug, Default)]
pub struct Footprints {
    pub before: Vec<Footprint>,
    pub peak: Vec<Footprint>,
    pub now: Vec<Footprint>,
}

impl Footprints {
    pub fn take(site: &Site) -> Self {
        let mut footprints = Self::default();
        footprints.look(site);
        footprints.before = footprints.now.clone();
        footprints
    }

    /// A program that somebody is killing just now keeps its last.
    pub fn look(&mut self, site: &Site) {
        for (at, member) in site.members.iter().enumerate() {
            if at == self.now.len() {
                self.now.push(Footprint::default());
                self.peak.push(Footprint::default());
            }
            let pid = member.try_lock().ok().and_then(|member| member.pid());
            if let Some(footprint) = pid.and_then(Footprint::of) {
                self.now[at] = footprint;
                self.peak[at] = self.peak[at].max(footprint);
            }
        }
    }

    /// Looks every second, until it is dropped.
    pub async fn watch(&mut self, site: &Site) -> Infallible {
        loop {
            self.look(site);
            sleep(Duration::from_secs(1)).await;
        }
    }

    pub fn have_returned(&self) -> bool {
        let pairs = self.now.iter().zip(&self.before);
        pairs
            .into_iter()
            .all(|(now, before)| now.has_returned_to(*before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_footprint_and_a_leak_is_seen() {
        let now = Footprint::of(std::process::id()).unwrap();
        assert!(now.kibibytes > 0 && now.descriptors > 2);
        assert!(now.has_returned_to(now));
        let more_files = Footprint {
            descriptors: now.descriptors + 17,
            ..now
        };
        assert!(!more_files.has_returned_to(now));
        let more_memory = Footprint {
            kibibytes: now.kibibytes * 2 + 48 * 1024,
            ..now
        };
        assert!(!more_memory.has_returned_to(now));
    }
}
