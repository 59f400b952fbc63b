//! End to end: our programs as their users run them, against real servers and against none.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod admission;
mod alarms;
mod claims;
mod control;
mod copies;
mod crashes;
mod door;
mod encrypted;
mod endings;
mod faults;
mod fleet;
mod hostile;
mod kills;
mod letters;
mod limits;
mod logs;
mod observability;
mod outages;
mod overload;
mod partitions;
mod places;
mod queues;
mod raw;
mod recall;
mod reconcile;
mod replays;
mod restarts;
mod retries;
mod rotation;
mod scaling;
mod schemes;
mod secrecy;
mod serve;
mod skew;
mod slow;
mod smuggling;
mod spool;
mod tls;
mod usage;
mod waiting;
mod walk;
