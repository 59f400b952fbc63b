//! `github`: `X-Hub-Signature-256: sha256=<hex>` with HMAC-SHA256 over the raw body.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | `X-GitHub-Delivery`, the same when it is delivered again | no |
//! | type | `X-GitHub-Event` | no |
//! | timestamp | none | |
//!
//! *Replay guard*: none. Nothing says when a body was signed or under which id, so a captured request verifies
//! for ever, under any id; TLS has to keep it from being captured. Two honest events may have equal bodies, and
//! a guard would take one for the other.
//!
//! Choose `application/json` for the content type of the webhook: the form-encoded one verifies as well, and no
//! handler of ours reads it.
//!
//! *Timeout*: 10 s. *Re-sends*: none by itself; by hand or through the API for three days.
//!
//! <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>,
//! <https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries>

use crate::rules::{Encoding, Form, IdFrom, Part, Rules, SecretForm, Signature};

pub(super) static RULES: Rules = Rules {
    signature: Some(Signature {
        header: "x-hub-signature-256",
        form: Form::One {
            prefix: "sha256=",
            encoding: Encoding::Hex,
        },
    }),
    id: IdFrom::Header("x-github-delivery"),
    timestamp: None,
    covered: &[Part::Body],
    tolerance: crate::TOLERANCE,
    secret: SecretForm::Text,
};
