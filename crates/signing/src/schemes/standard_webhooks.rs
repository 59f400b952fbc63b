//! `standard-webhooks`: the symmetric signatures (`v1`) of the Standard Webhooks specification.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | `webhook-id`, the same for every try | yes |
//! | type | the body, `type` | yes |
//! | timestamp | `webhook-timestamp`, unix seconds, new with every try | yes |
//!
//! Signed is `id.timestamp.body`; `webhook-signature` holds `v1,<base64>`, several with spaces between them while
//! a secret is rotated. Asymmetric ones (`v1a`) are passed over. Secrets are `whsec_` and base64, padded or not.
//!
//! *Replay guard*: not needed, the id is signed. An id with a dot in it is refused: the specification wants none
//! there, and with one the same signed bytes could be cut into another id, timestamp and body.
//!
//! *Timeout*: 15–30 s are recommended. *Re-sends*: the specification's example ends after 75 h 35 min.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use crate::rules::{Form, IdFrom, Part, Rules, SecretForm, Signature, TimestampFrom};

pub(super) static RULES: Rules = Rules {
    signature: Some(Signature {
        header: "webhook-signature",
        form: Form::Words,
    }),
    id: IdFrom::Header("webhook-id"),
    timestamp: Some(TimestampFrom::Header("webhook-timestamp")),
    covered: COVERED,
    tolerance: crate::TOLERANCE,
    secret: SECRET,
};

/// Svix, where the specification comes from, signs the same.
pub(super) const COVERED: &[Part] = &[
    Part::Id,
    Part::Literal("."),
    Part::Timestamp,
    Part::Literal("."),
    Part::Body,
];
pub(super) const SECRET: SecretForm = SecretForm::Base64 { prefix: "whsec_" };
