//! The open transaction: what the handler writes waits here for the COMMIT.

use super::SimLedger;
use ledger::{OrderChange, Payment, Transaction};
use resilience::Fault;

pub(super) struct SimTransaction<'a> {
    pub(super) ledger: &'a SimLedger,
    pub(super) payments: Vec<Payment>,
    pub(super) orders: Vec<OrderChange>,
    /// A statement that failed has aborted it, even where the handler kept that to itself.
    pub(super) failed: Option<Fault>,
}

impl Transaction for SimTransaction<'_> {
    async fn append_payments(&mut self, payments: &[Payment]) -> Result<(), Fault> {
        for payment in payments {
            let id = payment.event_id.as_str();
            if self.ledger.kills(id) {
                self.ledger.die().await;
            }
            if let Some(fault) = self.ledger.refusal(id) {
                self.failed = Some(fault.clone());
                return Err(fault);
            }
        }
        self.payments.extend_from_slice(payments);
        Ok(())
    }

    async fn fold_orders(&mut self, changes: &[OrderChange]) -> Result<(), Fault> {
        self.orders.extend_from_slice(changes);
        Ok(())
    }
}
