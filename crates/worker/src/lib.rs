//! The worker: takes events off one pipeline's queue and applies each once in effect.
//!
//! It never answers a sender and never decides what "applied" means: the ledger's commit does (I2). Start
//! with `process.rs`: one batch of deliveries on one screen.

mod busy;
mod claim;
mod collapse;
mod commit;
mod disposition;
mod events;
mod gate;
mod guard;
pub mod handlers;
mod intake;
mod pace;
mod process;
mod pulse;
mod run;
mod settle;
pub mod start;
mod suspects;

pub use events::{Events, Metrics};
pub use run::{Bounds, Worker, unique_name};
