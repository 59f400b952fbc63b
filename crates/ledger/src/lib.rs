//! The business database: what has been applied, what it did, and what could not be.
//!
//! Only this crate says Postgres or Redis. The unique row of `processed_webhooks`, in the same
//! transaction as the handler's writes, is the one authority on "applied"; Redis is a hint that saves
//! work ([`Recall`], I4). It never talks to the broker. Start with [`Ledger::commit`].

mod applied;
mod books;
mod claim;
mod dead_letter;
mod effect;
mod postgres;
mod schema;
mod seam;
mod settings;
mod sqlite;
mod standing;
mod start;

#[doc(hidden)]
pub use applied::unknown_outcome;
pub use applied::{Applied, Candidate, Verdict};
pub use books::{
    Account, AppliedCursor, AppliedEvent, AppliedRow, Books, DeadCount, Desired, Doubled, Entry,
    EventName, FullLetter, Happening, Kind, Letter, LetterCursor, LetterFilter, LetterId,
    LetterStanding, LetterState, MOST_AT_ONCE, Mark, OrderTotals, PaidEvent, PaymentRow, Resent,
    ResentEvent, Swept, Trace, Window,
};
#[doc(hidden)]
pub use claim::{Answer, Claims};
pub use claim::{Claimed, Recall};
pub use dead_letter::DeadLetter;
pub use effect::{OrderChange, Payment};
pub use postgres::PostgresLedger;
pub use seam::{Found, Handler, Ledger, Transaction};
pub use settings::LedgerSettings;
pub use sqlite::SqliteLedger;
#[doc(hidden)]
pub use standing::Standing;
pub use start::{LedgerUrl, RecallUrl, StartError};
