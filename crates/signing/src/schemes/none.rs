//! `none`: nobody signs. Whoever reaches the port is believed, so it has to be asked for with `insecure = true`,
//! and belongs on a private network.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | `X-Event-Id` | no |
//! | type | the body | no |
//! | timestamp | none | |
//!
//! *Replay guard*: none. *Timeout and re-sends*: the sender's own.

use super::spillway;
use crate::rules::{IdFrom, Rules, SecretForm};

pub(super) static RULES: Rules = Rules {
    signature: None,
    id: IdFrom::Header(spillway::EVENT_ID),
    timestamp: None,
    covered: &[],
    tolerance: crate::TOLERANCE,
    secret: SecretForm::Text,
};
