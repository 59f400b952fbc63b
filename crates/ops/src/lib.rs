//! What every program shares with its operator: config, logs, metrics, health, shutdown.
//!
//! It never handles an event. Start with [`config::Config`].

pub mod admin;
pub mod config;
mod descriptors;
mod exit;
mod health;
mod listen;
mod shutdown;
pub mod telemetry;

pub use descriptors::make_room_for;
pub use exit::exit;
pub use health::Health;
pub use listen::{ListenError, listen};
pub use shutdown::{stop_signal, stop_when_stdin_ends};

/// The allocator of every program. An event is some twenty short allocations, many of them made on one thread
/// and freed on another, which this one is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
