//! The long ones: a single outage that outlasts every patience, or an hour of nothing but load.

use crate::faults::{Fault, Who};
use crate::plan::{Round, Strike};
use crate::run::{Nodes, Order};
use clap::ValueEnum;
use std::time::Duration;

/// What `soak` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Soak {
    /// Nothing but load, an hour of it
    Load,
    /// The database is killed and stays away, ten minutes by default
    DbDown,
    /// The broker is killed and stays away, fifteen minutes by default: longer than any reconnect of a
    /// library tries
    BrokerDown,
    /// The broker is frozen, five minutes by default: its connections stay open and nobody answers
    BrokerFrozen,
    /// Of a broker of three nodes the leader of the workers' queue is killed, three times; how long it stays
    /// away each time is a minute by default
    LeaderKill,
}

/// How often a leader is killed: each time another node leads.
const LEADERS: usize = 3;

/// Before it and after it there is as much load as a program needs to get into its stride.
const AROUND: Duration = Duration::from_secs(60);

impl Soak {
    pub fn minutes(self) -> u64 {
        match self {
            Self::Load => 60,
            Self::DbDown => 10,
            Self::BrokerDown => 15,
            Self::BrokerFrozen => 5,
            Self::LeaderKill => 1,
        }
    }

    fn nodes(self) -> Nodes {
        match self {
            Self::LeaderKill => Nodes::Three,
            Self::Load | Self::DbDown | Self::BrokerDown | Self::BrokerFrozen => Nodes::One,
        }
    }

    pub fn order(self, lasting: Duration, rate: u32) -> Order {
        let rounds = self.rounds(lasting);
        Order {
            seed: fastrand::u64(..1_000_000),
            rate,
            nodes: self.nodes(),
            // Every round is begun in any case; after the last there is load for a while, or for all the time.
            until: lasting + AROUND,
            at_least: rounds.len(),
            rounds: Box::new(rounds.into_iter()),
        }
    }

    /// What happens, one after the other.
    fn rounds(self, lasting: Duration) -> Vec<Round> {
        let fault = match self {
            Self::Load => None,
            Self::DbDown => Some(Fault::Kill(Who::Postgres)),
            Self::BrokerDown => Some(Fault::Kill(Who::Broker)),
            Self::BrokerFrozen => Some(Fault::Freeze(Who::Broker)),
            Self::LeaderKill => Some(Fault::KillLeader),
        };
        let times = match self {
            Self::LeaderKill => LEADERS,
            Self::Load | Self::DbDown | Self::BrokerDown | Self::BrokerFrozen => 1,
        };
        let strike = |fault| Strike {
            fault,
            lasting,
            pick: 0,
        };
        let round = |fault| Round {
            quiet: AROUND,
            strikes: vec![strike(fault)],
        };
        let rounds = fault.into_iter().map(round);
        std::iter::repeat_n(rounds, times).flatten().collect()
    }
}
