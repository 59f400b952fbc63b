//! The faults, as data: what each is called, what it touches, how long it lasts. How each is done is in the
//! modules below.

mod broker;
mod failpoint;
mod network;
mod postgres;
mod process;
mod redis;

use crate::site::Site;
use anyhow::Result;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;
use testkit::Way;

pub use failpoint::Place;
pub use network::{Damage, Link};
pub use process::Who;

/// One way in which the world goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9`, and a start some time later.
    Kill(Who),
    /// `SIGTERM`, as at a rollout.
    Terminate(Who),
    Freeze(Who),
    /// Twenty-five kills of workers in a row: more than the delivery limit of a careless queue.
    Volley,
    /// All servers and all programs at once.
    Everything,
    Network(Link, Damage),
    FlushRedis,
    PauseRedis,
    MemoryAlarm,
    DiskAlarm,
    CloseConnections,
    RestartApp,
    /// Of a broker of three nodes, the one that leads the workers' queue. Not among [`Fault::all`], which are
    /// faults of one node.
    KillLeader,
    EndSessions,
    ReadOnly,
    LockTable,
    StopPostgres,
    /// A program ends itself at a place in its code.
    Crash(Place),
}

/// What two faults of a pair must not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    Ingest,
    Spooler,
    Workers,
    Archiver,
    Broker,
    Redis,
    Postgres,
    Link(Link),
}

/// Faults that are alike; a run takes turns among the families, so that the many faults of the network do
/// not crowd out the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Process,
    Network,
    Server,
    Crash,
}

impl Fault {
    pub fn all() -> Vec<Self> {
        let mut all = process::all();
        all.extend(network::all());
        all.extend([
            Self::FlushRedis,
            Self::PauseRedis,
            Self::MemoryAlarm,
            Self::DiskAlarm,
            Self::CloseConnections,
            Self::RestartApp,
            Self::EndSessions,
            Self::ReadOnly,
            Self::LockTable,
            Self::StopPostgres,
        ]);
        all.extend(Place::ALL.map(Self::Crash));
        all
    }

    pub fn family(self) -> Family {
        match self {
            Self::Kill(_) | Self::Terminate(_) | Self::Freeze(_) => Family::Process,
            Self::Volley | Self::Everything | Self::KillLeader => Family::Process,
            Self::Network(..) => Family::Network,
            Self::FlushRedis | Self::PauseRedis | Self::MemoryAlarm | Self::DiskAlarm => {
                Family::Server
            }
            Self::CloseConnections | Self::RestartApp | Self::EndSessions => Family::Server,
            Self::ReadOnly | Self::LockTable | Self::StopPostgres => Family::Server,
            Self::Crash(_) => Family::Crash,
        }
    }

    pub fn touches(self) -> Vec<Thing> {
        match self {
            Self::Kill(who) | Self::Terminate(who) | Self::Freeze(who) => vec![who.thing()],
            Self::Volley => vec![Thing::Workers],
            Self::Everything => vec![
                Thing::Ingest,
                Thing::Spooler,
                Thing::Workers,
                Thing::Archiver,
                Thing::Broker,
                Thing::Redis,
                Thing::Postgres,
            ],
            Self::Network(link, _) => vec![Thing::Link(link)],
            Self::FlushRedis | Self::PauseRedis => vec![Thing::Redis],
            Self::MemoryAlarm | Self::DiskAlarm | Self::CloseConnections => vec![Thing::Broker],
            Self::RestartApp | Self::KillLeader => vec![Thing::Broker],
            Self::EndSessions | Self::ReadOnly | Self::LockTable | Self::StopPostgres => {
                vec![Thing::Postgres]
            }
            Self::Crash(place) => place.touches(),
        }
    }

    /// In seconds. Faults of a moment last nothing.
    pub fn lasts(self) -> RangeInclusive<u64> {
        match self {
            Self::Kill(_) | Self::Everything | Self::StopPostgres => 0..=10,
            Self::Freeze(_) | Self::PauseRedis => 5..=30,
            Self::MemoryAlarm | Self::DiskAlarm | Self::ReadOnly => 3..=15,
            Self::LockTable | Self::KillLeader => 10..=20,
            Self::EndSessions => 1..=5,
            Self::RestartApp => 0..=5,
            Self::Network(_, damage) => damage.lasts(),
            Self::Terminate(_) | Self::Volley | Self::FlushRedis => 0..=0,
            Self::CloseConnections | Self::Crash(_) => 0..=0,
        }
    }

    /// Whether this fault can be done together with that one.
    pub fn goes_with(self, other: Self) -> bool {
        let (mine, others) = (self.touches(), other.touches());
        !mine.iter().any(|thing| others.contains(thing))
            // Both take as long as they take, and wait for something a second fault may keep away.
            && self.family() != Family::Crash
            && other.family() != Family::Crash
            && self != Self::Everything
            && other != Self::Everything
    }

    /// Breaks it, waits, and heals it. `pick` chooses among equals.
    pub async fn strike(self, site: &Site, lasting: Duration, pick: usize) -> Result<()> {
        match self {
            Self::Kill(who) => process::kill(site, who, lasting, pick).await,
            Self::Terminate(who) => process::terminate(site, who, pick).await,
            Self::Freeze(who) => process::freeze(site, who, lasting, pick).await,
            Self::Volley => process::volley(site).await,
            Self::Everything => process::everything(site, lasting, pick).await,
            Self::Network(link, damage) => network::damage(site, link, damage, lasting, pick).await,
            Self::FlushRedis => redis::flush(site).await,
            Self::PauseRedis => redis::pause(site, lasting).await,
            Self::MemoryAlarm => broker::memory_alarm(site, lasting).await,
            Self::DiskAlarm => broker::disk_alarm(site, lasting).await,
            Self::CloseConnections => broker::close_connections(site).await,
            Self::RestartApp => broker::restart_app(site, lasting).await,
            Self::KillLeader => broker::kill_leader(site, lasting).await,
            Self::EndSessions => postgres::end_sessions(site, lasting).await,
            Self::ReadOnly => postgres::read_only(site, lasting).await,
            Self::LockTable => postgres::lock_table(site, lasting).await,
            Self::StopPostgres => postgres::stop(site, lasting).await,
            Self::Crash(place) => failpoint::crash(site, place, pick).await,
        }
    }

    /// The word for `--fault`.
    pub fn name(self) -> String {
        let words = self.to_string();
        let joined = words.replace("↔", "-").replace(": ", "-");
        joined.replace([' ', '.', '_'], "-")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(who) => write!(out, "kill {who}"),
            Self::Terminate(who) => write!(out, "terminate {who}"),
            Self::Freeze(who) => write!(out, "freeze {who}"),
            Self::Network(link, damage) => write!(out, "{link}: {damage}"),
            Self::Crash(place) => write!(out, "crash {}", place.name()),
            Self::Volley => out.write_str("kill worker 25 times"),
            Self::Everything => out.write_str("kill everything"),
            Self::FlushRedis => out.write_str("redis flushed"),
            Self::PauseRedis => out.write_str("redis paused"),
            Self::MemoryAlarm => out.write_str("broker memory alarm"),
            Self::DiskAlarm => out.write_str("broker disk alarm"),
            Self::CloseConnections => out.write_str("broker closes connections"),
            Self::RestartApp => out.write_str("broker restarts in order"),
            Self::KillLeader => out.write_str("broker loses its leader"),
            Self::EndSessions => out.write_str("postgres ends sessions"),
            Self::ReadOnly => out.write_str("postgres read only"),
            Self::LockTable => out.write_str("postgres table locked"),
            Self::StopPostgres => out.write_str("postgres stopped at once"),
        }
    }
}

/// For the faults that are the same both ways.
pub const BOTH_WAYS: [Way; 2] = [Way::Up, Way::Down];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        let all = Fault::all();
        let names: BTreeSet<_> = all.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), all.len());
        let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        assert!(names.iter().all(plain), "{names:?}");
    }

    #[test]
    fn no_pair_touches_one_thing_twice() {
        let killed = Fault::Kill(Who::Broker);
        assert!(!killed.goes_with(Fault::MemoryAlarm));
        assert!(killed.goes_with(Fault::LockTable));
        assert!(!Fault::Everything.goes_with(Fault::FlushRedis));
    }
}
