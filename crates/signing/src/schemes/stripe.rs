//! `stripe`: `Stripe-Signature: t=<unix seconds>,v1=<hex>` with HMAC-SHA256 over `t.body`.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | the body, `id` | yes |
//! | type | the body, `type` | yes |
//! | timestamp | `t=`, new with every try | yes |
//!
//! `v1` is there several times while a secret is rotated; other schemes in the header (`v0`) are passed over, as
//! Stripe says. The whole secret is the key, `whsec_` included. A body without an `id` goes by its hash.
//!
//! *Replay guard*: not needed, the id is in the body. A try that Stripe writes anew (`pending_webhooks` counts
//! down) is the same id with another body: it is applied once, and kept as `conflicting_body` beside it.
//!
//! *Timeout*: not published; others observe 30 s. *Re-sends*: for up to three days in live mode.
//!
//! <https://docs.stripe.com/webhooks#verify-manually>, <https://docs.stripe.com/webhooks#retries>

use crate::rules::{Form, IdFrom, Part, Rules, SecretForm, Signature, TimestampFrom};

pub(super) static RULES: Rules = Rules {
    signature: Some(Signature {
        header: "stripe-signature",
        form: Form::Pairs,
    }),
    id: IdFrom::Body("id"),
    timestamp: Some(TimestampFrom::Signature),
    covered: &[Part::Timestamp, Part::Literal("."), Part::Body],
    tolerance: crate::TOLERANCE,
    secret: SecretForm::Text,
};
