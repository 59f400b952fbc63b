//! The network between our programs and a server, by way of the proxies.

use super::{BOTH_WAYS, Fault};
use crate::site::Site;
use anyhow::Result;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;
use testkit::{Proxy, Way};
use tokio::time::sleep;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    IngestBroker,
    WorkerBroker,
    WorkerPostgres,
    WorkerRedis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Damage {
    BlackHoleUp,
    BlackHoleDown,
    BlackHole,
    Reset,
    HalfCloseUp,
    HalfCloseDown,
    Delay,
    Slice,
    CutUp,
    CutDown,
    Refuse,
}

impl Link {
    const ALL: [Self; 4] = [
        Self::IngestBroker,
        Self::WorkerBroker,
        Self::WorkerPostgres,
        Self::WorkerRedis,
    ];

    fn proxy(self, site: &Site) -> &Proxy {
        match self {
            Self::IngestBroker => &site.links.ingest_broker,
            Self::WorkerBroker => &site.links.worker_broker,
            Self::WorkerPostgres => &site.links.worker_postgres,
            Self::WorkerRedis => &site.links.worker_redis,
        }
    }
}

impl Damage {
    const ALL: [Self; 11] = [
        Self::BlackHoleUp,
        Self::BlackHoleDown,
        Self::BlackHole,
        Self::Reset,
        Self::HalfCloseUp,
        Self::HalfCloseDown,
        Self::Delay,
        Self::Slice,
        Self::CutUp,
        Self::CutDown,
        Self::Refuse,
    ];

    /// A black hole for longer than two heartbeats of 10 s ends sessions by itself.
    pub(super) fn lasts(self) -> RangeInclusive<u64> {
        match self {
            Self::BlackHoleUp | Self::BlackHoleDown | Self::BlackHole => 1..=30,
            Self::Delay | Self::Slice | Self::CutUp | Self::CutDown | Self::Refuse => 2..=10,
            Self::Reset | Self::HalfCloseUp | Self::HalfCloseDown => 0..=0,
        }
    }
}

pub(super) fn all() -> Vec<Fault> {
    let on = |link| Damage::ALL.map(|damage| Fault::Network(link, damage));
    Link::ALL.into_iter().flat_map(on).collect()
}

pub(super) async fn damage(
    site: &Site,
    link: Link,
    damage: Damage,
    lasting: Duration,
    pick: usize,
) -> Result<()> {
    let proxy = link.proxy(site);
    inflict(proxy, damage, pick);
    sleep(lasting).await;
    proxy.pass();
    Ok(())
}

fn inflict(proxy: &Proxy, damage: Damage, pick: usize) {
    match damage {
        Damage::BlackHoleUp => proxy.black_hole(Way::Up),
        Damage::BlackHoleDown => proxy.black_hole(Way::Down),
        Damage::BlackHole => BOTH_WAYS
            .map(|way| proxy.black_hole(way))
            .into_iter()
            .collect(),
        Damage::Reset => proxy.reset(),
        Damage::HalfCloseUp => proxy.half_close(Way::Up),
        Damage::HalfCloseDown => proxy.half_close(Way::Down),
        Damage::Delay => proxy.delay(Duration::from_millis(50 + (pick % 500) as u64)),
        // The torn frames of a bad day: single bytes up to pieces of a frame.
        Damage::Slice => proxy.slice(1 + pick % 400),
        // Anywhere from within the handshake to some thousand frames later.
        Damage::CutUp => proxy.cut_after(Way::Up, 1 + pick % 100_000),
        Damage::CutDown => proxy.cut_after(Way::Down, 1 + pick % 100_000),
        Damage::Refuse => {
            proxy.refuse();
            proxy.reset();
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::IngestBroker => "ingest↔broker",
            Self::WorkerBroker => "worker↔broker",
            Self::WorkerPostgres => "worker↔postgres",
            Self::WorkerRedis => "worker↔redis",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::BlackHoleUp => "black hole up",
            Self::BlackHoleDown => "black hole down",
            Self::BlackHole => "black hole",
            Self::Reset => "reset",
            Self::HalfCloseUp => "half-close up",
            Self::HalfCloseDown => "half-close down",
            Self::Delay => "delay",
            Self::Slice => "slice",
            Self::CutUp => "cut up",
            Self::CutDown => "cut down",
            Self::Refuse => "refuse",
        })
    }
}
