//! The door: verifies a webhook, publishes it with a confirm, answers.
//!
//! Only this crate speaks HTTP to senders. It keeps nothing between requests, never parses a body, and
//! links neither the ledger nor Redis (I5). Start with `receive.rs`: one request on one screen.

mod body;
mod events;
mod receive;
mod refused;
mod reply;
mod room;
mod seal;
mod server;

pub use events::Events;
pub use receive::Door;
pub use room::Room;
pub use server::serve;
