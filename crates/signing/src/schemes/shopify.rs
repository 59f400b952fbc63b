//! `shopify`: `X-Shopify-Hmac-Sha256: <base64>` with HMAC-SHA256 over the raw body, keyed with the app's client
//! secret.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | `X-Shopify-Webhook-Id`, the same for every try | no |
//! | type | `X-Shopify-Topic` | no |
//! | timestamp | `X-Shopify-Triggered-At`, which nothing signs; not read | no |
//!
//! Two subscriptions to one topic send one event under two webhook ids: they are two events here. The id they
//! share, `X-Shopify-Event-Id`, is no better: one action of a merchant can set off several topics under it, and
//! all but the first would be quarantined as `conflicting_body`.
//!
//! *Replay guard*: none, as with `github`: a captured request verifies for ever, under any id.
//!
//! *Timeout*: 5 s. *Re-sends*: eight within four hours, then the subscription is removed.
//!
//! <https://shopify.dev/docs/apps/build/webhooks/subscribe/https#step-2-validate-the-origin-of-your-webhook-to-ensure-its-coming-from-shopify>,
//! <https://shopify.dev/docs/apps/build/webhooks/delivery-structure>

use crate::rules::{Encoding, Form, IdFrom, Part, Rules, SecretForm, Signature};

pub(super) static RULES: Rules = Rules {
    signature: Some(Signature {
        header: "x-shopify-hmac-sha256",
        form: Form::One {
            prefix: "",
            encoding: Encoding::Base64,
        },
    }),
    id: IdFrom::Header("x-shopify-webhook-id"),
    timestamp: None,
    covered: &[Part::Body],
    tolerance: crate::TOLERANCE,
    secret: SecretForm::Text,
};
