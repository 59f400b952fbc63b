//! What the built-in handler `payments` writes.

use envelope::{EventId, SourceName, UnixMicros};

/// One row of `payments`: appended, never changed, and without a unique constraint on the event, so that
/// an event applied twice would show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The event that made it.
    pub event_id: EventId,
    /// Who sent the event.
    pub source: SourceName,
    /// The order it is for, 1–128 bytes.
    pub order_id: String,
    /// The amount in minor units (cents), 0…2^53−1.
    pub amount: i64,
    /// ISO 4217 code, where the sender names one.
    pub currency: Option<String>,
    /// The status, 1–128 bytes.
    pub status: String,
    /// When it happened at the sender, where the sender says so.
    pub occurred_at: Option<UnixMicros>,
}

/// What one batch does to one order. At most one per order in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderChange {
    /// The order.
    pub order_id: String,
    /// Status, amount and currency of the newest event in the batch.
    pub status: String,
    /// See `status`.
    pub amount: i64,
    /// See `status`.
    pub currency: Option<String>,
    /// The newest event's version: `occurredAt`, else the signed timestamp, else the time of receipt.
    /// A row with a greater (version, received_at) keeps its status, amount and currency.
    pub version: UnixMicros,
    /// Decides between equal versions.
    pub received_at: UnixMicros,
    /// How many events of the batch are folded into this: added to `orders.applied_events`.
    pub applied_events: i64,
    /// Their amounts, added to `orders.amount_total`.
    pub amount_total: i64,
}
