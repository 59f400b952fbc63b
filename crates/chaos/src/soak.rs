//! The long ones: a single outage that outlasts every patience, or an hour of nothing but load.

use crate::faults::{Fault, Who};
use crate::plan::{Round, Strike};
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
}

/// Before it and after it there is as much load as a program needs to get into its stride.
pub const AROUND: Duration = Duration::from_secs(60);

impl Soak {
    pub fn minutes(self) -> u64 {
        match self {
            Self::Load => 60,
            Self::DbDown => 10,
            Self::BrokerDown => 15,
            Self::BrokerFrozen => 5,
        }
    }

    /// The one round there is, where there is one.
    pub fn rounds(self, lasting: Duration) -> Vec<Round> {
        let fault = match self {
            Self::Load => None,
            Self::DbDown => Some(Fault::Kill(Who::Postgres)),
            Self::BrokerDown => Some(Fault::Kill(Who::Broker)),
            Self::BrokerFrozen => Some(Fault::Freeze(Who::Broker)),
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
        fault.map(round).into_iter().collect()
    }
}
