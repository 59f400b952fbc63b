//! What the books say of an order: the second witness of what was applied.

/// How many events were folded into an order, and their sum. Written in the transactions that append the payments,
/// so it is that of the order's payments, or somebody has changed something by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderTotals {
    /// Which order.
    pub order_id: String,
    /// How many events were applied to it.
    pub applied_events: u64,
    /// The sum of their amounts, in minor units.
    pub amount_total: u64,
}
