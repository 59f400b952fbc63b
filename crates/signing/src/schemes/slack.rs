//! `slack`: `X-Slack-Signature: v0=<hex>` with HMAC-SHA256 over `v0:timestamp:body`.
//!
//! | | where | signed |
//! |---|---|---|
//! | event id | the body, `event_id` (Events API); else the hash of the body | yes |
//! | type | the body, `event.type` | yes |
//! | timestamp | `X-Slack-Request-Timestamp`, new with every try | yes |
//!
//! Slash commands and interactions have no id of their own; each body has a `trigger_id` that is new every time,
//! so its hash names it well.
//!
//! *Replay guard*: not needed, the id is in the body or made from it.
//!
//! Before it sends events Slack asks the URL once to give back a `challenge`, which an answer of ours does not: let
//! another program answer at the URL until Slack has confirmed it.
//!
//! *Timeout*: 3 s. *Re-sends*: three, after a moment, a minute and five minutes.
//!
//! <https://docs.slack.dev/authentication/verifying-requests-from-slack>,
//! <https://docs.slack.dev/apis/events-api#error-handling>

use crate::rules::{Encoding, Form, IdFrom, Part, Rules, SecretForm, Signature, TimestampFrom};

pub(super) static RULES: Rules = Rules {
    signature: Some(Signature {
        header: "x-slack-signature",
        form: Form::One {
            prefix: "v0=",
            encoding: Encoding::Hex,
        },
    }),
    id: IdFrom::Body("event_id"),
    timestamp: Some(TimestampFrom::Header("x-slack-request-timestamp")),
    covered: &[
        Part::Literal("v0:"),
        Part::Timestamp,
        Part::Literal(":"),
        Part::Body,
    ],
    tolerance: crate::TOLERANCE,
    secret: SecretForm::Text,
};
