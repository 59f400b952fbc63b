//! The door: verifies a webhook, publishes it with a confirm, answers.
//!
//! Only this crate speaks HTTP to senders. It keeps nothing between requests, the optional spool aside, reads
//! of a body at most the event id (schemes that have it nowhere else), and links neither the ledger nor Redis (I5). Start with `receive.rs`: one request on one
//! screen.

mod admission;
mod backlog;
mod body;
mod caller;
mod drain;
mod events;
mod receive;
mod refused;
mod reply;
mod room;
mod seal;
mod server;
mod spooling;
mod store;
mod timed;
mod tls;

pub use admission::Admission;
pub use backlog::Backlog;
pub use drain::drain;
#[doc(hidden)]
pub use drain::drain_from;
pub use events::Events;
pub use receive::Door;
pub use room::Room;
pub use server::serve;
pub use spooling::Spooling;
#[doc(hidden)]
pub use store::Stored;
pub use tls::{Renewal, Tls};
