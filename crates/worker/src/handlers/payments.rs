//! The handler `payments`: appends a row to `payments` and folds the event into its order.
//!
//! ```json
//! {"orderId": "order_999", "amount": 9999, "status": "completed"}
//! ```
//!
//! | field | rule |
//! |---|---|
//! | `orderId`, `status` | text, 1–128 bytes |
//! | `amount` | whole number of minor units (cents), 0…2^53−1, the integers JSON readers agree on (RFC 8259 §6) |
//! | `id` | optional; the event id it was sent under |
//! | `currency` | optional; three letters, as in ISO 4217 |
//! | `occurredAt` | optional; RFC 3339 |
//! | `apiVersion` | optional; `"1"` |
//! | `type` | optional text |
//!
//! Any other field is kept in the payload and not looked at.

use envelope::{Envelope, UnixMicros};
use ledger::{Candidate, Handler, OrderChange, Payment, Transaction};
use resilience::{Fault, Reason};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The largest integer that every JSON reader holds exactly.
const AMOUNT_MAX: i64 = (1 << 53) - 1;
const TEXT_MAX_BYTES: usize = 128;
/// The versions of the body this handler knows. An unknown one may mean anything, so nothing is guessed.
const API_VERSIONS: [&str; 1] = ["1"];

/// Payments and orders.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payments;

/// What one body asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    payment: Payment,
    version: UnixMicros,
    names_its_event: bool,
}

/// The fields as they are written; each is read on its own, so that an error names it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    order_id: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
    #[serde(borrow)]
    occurred_at: Option<&'a RawValue>,
    #[serde(borrow)]
    api_version: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

impl Handler for Payments {
    type Effect = Effect;

    fn decode(&self, envelope: &Envelope) -> Result<Effect, Fault> {
        #[cfg(debug_assertions)]
        super::crash::when_decoding(&envelope.event_id);
        let fields = fields(&envelope.body)?;
        known_version(fields.api_version)?;
        let names_its_event = names(fields.id, envelope)?;
        optional(fields.kind, "type", text)?;
        let occurred_at = optional(fields.occurred_at, "occurredAt", moment)?;
        let signed_at = envelope.signed_at.map(UnixMicros::from);
        Ok(Effect {
            version: occurred_at.or(signed_at).unwrap_or(envelope.received_at),
            names_its_event,
            payment: Payment {
                event_id: envelope.event_id.clone(),
                source: envelope.source.clone(),
                order_id: required(fields.order_id, "orderId", text)?,
                amount: required(fields.amount, "amount", amount)?,
                status: required(fields.status, "status", text)?,
                currency: optional(fields.currency, "currency", currency)?,
                occurred_at,
            },
        })
    }

    fn names_its_event(&self, effect: &Effect) -> bool {
        effect.names_its_event
    }

    async fn apply<T: Transaction>(
        &self,
        transaction: &mut T,
        inserted: &[&Candidate<Effect>],
    ) -> Result<(), Fault> {
        #[cfg(debug_assertions)]
        for candidate in inserted {
            super::crash::when_applying(&candidate.event_id);
        }
        failpoints::crash("worker.after_insert");
        let payments: Vec<Payment> = inserted
            .iter()
            .map(|candidate| candidate.effect.payment.clone())
            .collect();
        transaction.append_payments(&payments).await?;
        transaction.fold_orders(&fold(inserted)).await?;
        failpoints::crash("worker.before_commit");
        Ok(())
    }
}

/// One change per order, ordered by order id; status, amount and currency are the newest event's.
fn fold(inserted: &[&Candidate<Effect>]) -> Vec<OrderChange> {
    let mut orders: BTreeMap<&str, OrderChange> = BTreeMap::new();
    for candidate in inserted {
        let change = change(candidate);
        match orders.get_mut(candidate.effect.payment.order_id.as_str()) {
            None => {
                orders.insert(&candidate.effect.payment.order_id, change);
            }
            Some(order) => {
                let applied_events = order.applied_events + change.applied_events;
                let amount_total = order.amount_total + change.amount_total;
                let newer =
                    (change.version, change.received_at) > (order.version, order.received_at);
                let newest = if newer { change } else { order.clone() };
                *order = OrderChange {
                    applied_events,
                    amount_total,
                    ..newest
                };
            }
        }
    }
    orders.into_values().collect()
}

fn change(candidate: &Candidate<Effect>) -> OrderChange {
    let Payment {
        order_id,
        status,
        amount,
        currency,
        ..
    } = candidate.effect.payment.clone();
    OrderChange {
        order_id,
        status,
        amount,
        currency,
        version: candidate.effect.version,
        received_at: candidate.received_at,
        applied_events: 1,
        amount_total: amount,
    }
}

/// The parser's own messages quote the body, so they are not repeated (I9).
fn fields(body: &[u8]) -> Result<Fields<'_>, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        if error.is_data() && std::str::from_utf8(body).is_ok() {
            schema(format!(
                "the body must be an object in which no field comes twice ({place})"
            ))
        } else {
            Fault::poison(Reason::NotJson, format!("the body is not JSON ({place})"))
        }
    })
}

fn schema(message: impl Into<String>) -> Fault {
    Fault::poison(Reason::Schema, message)
}

fn required<T>(
    field: Option<&RawValue>,
    name: &str,
    read: fn(&RawValue) -> Result<T, &'static str>,
) -> Result<T, Fault> {
    optional(field, name, read)?.ok_or_else(|| schema(format!("{name} is missing")))
}

fn optional<T>(
    field: Option<&RawValue>,
    name: &str,
    read: fn(&RawValue) -> Result<T, &'static str>,
) -> Result<Option<T>, Fault> {
    field
        .map(|raw| read(raw).map_err(|rule| schema(format!("{name} {rule}"))))
        .transpose()
}

fn text(raw: &RawValue) -> Result<String, &'static str> {
    const RULE: &str = "must be a text of 1 to 128 bytes without a NUL character";
    let text: String = serde_json::from_str(raw.get()).map_err(|_| RULE)?;
    // Postgres stores no NUL in a text.
    let fits = (1..=TEXT_MAX_BYTES).contains(&text.len()) && !text.contains('\0');
    if fits { Ok(text) } else { Err(RULE) }
}

fn amount(raw: &RawValue) -> Result<i64, &'static str> {
    const RULE: &str = "must be a whole number of minor units from 0 to 9007199254740991";
    let amount: i64 = serde_json::from_str(raw.get()).map_err(|_| RULE)?;
    if (0..=AMOUNT_MAX).contains(&amount) {
        Ok(amount)
    } else {
        Err(RULE)
    }
}

fn currency(raw: &RawValue) -> Result<String, &'static str> {
    const RULE: &str = "must be three letters, as in ISO 4217";
    let code = text(raw).map_err(|_| RULE)?;
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Ok(code)
    } else {
        Err(RULE)
    }
}

fn moment(raw: &RawValue) -> Result<UnixMicros, &'static str> {
    const RULE: &str = "must be a time as in RFC 3339, such as 2026-11-23T10:15:00Z";
    let text: String = serde_json::from_str(raw.get()).map_err(|_| RULE)?;
    let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| RULE)?;
    i64::try_from(time.unix_timestamp_nanos() / 1000)
        .map(UnixMicros)
        .map_err(|_| RULE)
}

fn known_version(raw: Option<&RawValue>) -> Result<(), Fault> {
    let version: Option<String> =
        raw.map(|raw| serde_json::from_str(raw.get()).unwrap_or_default());
    match version {
        Some(version) if !API_VERSIONS.contains(&version.as_str()) => {
            let known = API_VERSIONS.join(", ");
            Err(Fault::poison(
                Reason::UnknownVersion,
                format!("apiVersion is none of the known ones: {known}"),
            ))
        }
        Some(_) | None => Ok(()),
    }
}

fn names(id: Option<&RawValue>, envelope: &Envelope) -> Result<bool, Fault> {
    let Some(raw) = id else { return Ok(false) };
    let id: String = serde_json::from_str(raw.get()).unwrap_or_default();
    if id == envelope.event_id.as_str() {
        return Ok(true);
    }
    Err(Fault::poison(
        Reason::ContradictingId,
        "the id in the body is not the event id it was sent under",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use envelope::{Attempt, BodyHash, PipelineName, UnixSeconds};

    fn envelope(body: &[u8]) -> Envelope {
        Envelope {
            event_id: "evt_12345".parse().unwrap(),
            source: "default".parse().unwrap(),
            body: Bytes::copy_from_slice(body),
            content_type: None,
            received_at: UnixMicros(1_763_900_001_500_000),
            signed_at: Some(UnixSeconds(1_763_900_000)),
            signature_digest: None,
            attempt: Attempt::FIRST,
            parked: 0,
            replays: 0,
            note: None,
            traceparent: None,
        }
    }

    fn check(body: &str) -> Result<Effect, Reason> {
        Payments
            .decode(&envelope(body.as_bytes()))
            .map_err(|fault| {
                assert_eq!(fault.class, resilience::Class::Poison);
                fault.reason
            })
    }

    #[test]
    fn the_sample_is_a_payment() {
        let effect =
            check(r#"{"orderId":"order_999","amount":9999,"status":"completed"}"#).unwrap();
        assert_eq!(effect.payment.amount, 9999);
        assert_eq!(effect.version, UnixMicros(1_763_900_000_000_000));
        assert!(!effect.names_its_event);
    }

    #[test]
    fn optional_fields_are_read_and_unknown_ones_left_alone() {
        let body = r#"{"orderId":"o\u0041","amount":0,"status":"s","id":"evt_12345","type":"payment",
            "currency":"EUR","occurredAt":"2026-11-23T10:15:00.5+01:00","apiVersion":"1","x":{"y":[1e999]}}"#;
        let effect = check(body).unwrap();
        assert_eq!(effect.payment.order_id, "oA");
        assert_eq!(
            effect.payment.occurred_at,
            Some(UnixMicros(1_795_425_300_500_000))
        );
        assert_eq!(effect.version, UnixMicros(1_795_425_300_500_000));
        assert!(effect.names_its_event);
    }

    #[test]
    fn what_breaks_a_rule_is_poison_with_its_reason() {
        let with = |field: &str| format!(r#"{{"orderId":"o","amount":1,"status":"s",{field}}}"#);
        let table = [
            ("not json".to_owned(), Reason::NotJson),
            (String::new(), Reason::NotJson),
            (r#"{"orderId":"o""#.to_owned(), Reason::NotJson),
            ("[]".to_owned(), Reason::Schema),
            ("null".to_owned(), Reason::Schema),
            (r#"{"amount":1,"status":"s"}"#.to_owned(), Reason::Schema),
            (
                r#"{"orderId":"","amount":1,"status":"s"}"#.to_owned(),
                Reason::Schema,
            ),
            (
                r#"{"orderId":"\u0000","amount":1,"status":"s"}"#.to_owned(),
                Reason::Schema,
            ),
            (
                r#"{"orderId":"o","amount":-1,"status":"s"}"#.to_owned(),
                Reason::Schema,
            ),
            (
                r#"{"orderId":"o","amount":1.5,"status":"s"}"#.to_owned(),
                Reason::Schema,
            ),
            (
                r#"{"orderId":"o","amount":1e2,"status":"s"}"#.to_owned(),
                Reason::Schema,
            ),
            (
                r#"{"orderId":"o","amount":9007199254740992,"status":"s"}"#.to_owned(),
                Reason::Schema,
            ),
            (
                r#"{"orderId":"o","amount":"1","status":"s"}"#.to_owned(),
                Reason::Schema,
            ),
            (
                r#"{"orderId":"o","amount":1,"status":"s","amount":2}"#.to_owned(),
                Reason::Schema,
            ),
            (with(r#""currency":"EURO""#), Reason::Schema),
            (with(r#""occurredAt":"yesterday""#), Reason::Schema),
            (with(r#""apiVersion":"2""#), Reason::UnknownVersion),
            (with(r#""apiVersion":1"#), Reason::UnknownVersion),
            (with(r#""id":"evt_other""#), Reason::ContradictingId),
            (with(r#""id":12345"#), Reason::ContradictingId),
        ];
        for (body, reason) in table {
            assert_eq!(check(&body).unwrap_err(), reason, "{body}");
        }
        assert_eq!(
            Payments
                .decode(&envelope(b"{\"orderId\":\"\xff\"}"))
                .unwrap_err()
                .reason,
            Reason::NotJson
        );
    }

    #[test]
    fn no_error_repeats_a_part_of_the_body() {
        for body in [
            r#"{"orderId":"o","amount":"SECRET","status":"s"}"#,
            r#""SECRET""#,
            r#"{"id":"SECRET"}"#,
            "SECRET",
        ] {
            let fault = Payments.decode(&envelope(body.as_bytes())).unwrap_err();
            assert!(!fault.message.contains("SECRET"), "{}", fault.message);
        }
    }

    #[test]
    fn a_deep_body_is_refused_and_does_not_overflow_the_stack() {
        let deep = format!("{{\"orderId\":{}", "[".repeat(20_000));
        assert!(check(&deep).is_err());
    }

    fn candidate(order: &str, amount: i64, occurred_at: i64, status: &str) -> Candidate<Effect> {
        let body = format!(r#"{{"orderId":"{order}","amount":{amount},"status":"{status}"}}"#);
        let envelope = envelope(body.as_bytes());
        let effect = Effect {
            version: UnixMicros(occurred_at),
            ..Payments.decode(&envelope).unwrap()
        };
        let pipeline: PipelineName = "payments".parse().unwrap();
        Candidate {
            key: envelope.key(&pipeline),
            pipeline,
            source: envelope.source.clone(),
            event_id: envelope.event_id.clone(),
            signature_digest: None,
            body_sha256: BodyHash::of(&envelope.body),
            payload: envelope.body,
            received_at: envelope.received_at,
            attempt: envelope.attempt,
            effect,
        }
    }

    #[test]
    fn a_batch_folds_to_the_newest_event_of_each_order_and_counts_all() {
        let batch = [
            candidate("b", 5, 10, "old"),
            candidate("a", 1, 30, "newest"),
            candidate("a", 2, 20, "older"),
        ];
        let folded = fold(&batch.iter().collect::<Vec<_>>());
        let summary: Vec<_> = folded
            .iter()
            .map(|o| {
                (
                    o.order_id.as_str(),
                    o.status.as_str(),
                    o.amount,
                    o.applied_events,
                    o.amount_total,
                )
            })
            .collect();
        assert_eq!(summary, [("a", "newest", 1, 2, 3), ("b", "old", 5, 1, 5)]);
    }
}
