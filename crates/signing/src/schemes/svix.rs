//! `svix`: Standard Webhooks under Svix' own header names.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | `svix-id`, the same for every try | yes |
//! | type | the body, wherever Svix' customer puts it | yes |
//! | timestamp | `svix-timestamp`, unix seconds, new with every try | yes |
//!
//! *Replay guard*: not needed, the id is signed. *Timeout*: 15 s. *Re-sends*: for 27 h 35 min, and whenever
//! somebody asks for one.
//!
//! <https://docs.svix.com/receiving/verifying-payloads/how-manual>, <https://docs.svix.com/retries>

use super::standard_webhooks;
use crate::rules::{Form, IdFrom, Rules, Signature, TimestampFrom};

pub(super) static RULES: Rules = Rules {
    signature: Some(Signature {
        header: "svix-signature",
        form: Form::Words,
    }),
    id: IdFrom::Header("svix-id"),
    timestamp: Some(TimestampFrom::Header("svix-timestamp")),
    covered: standard_webhooks::COVERED,
    tolerance: crate::TOLERANCE,
    secret: standard_webhooks::SECRET,
};
