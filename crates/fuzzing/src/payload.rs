//! A body, as the handler `payments` reads it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use bytes::Bytes;
use envelope::{Attempt, Envelope, UnixMicros, UnixSeconds};
use ledger::Handler;
use resilience::{Class, Fault};
use serde_json::{Map, Value};
use worker::handlers::payments::Payments;

use crate::Taken;

const ID: &str = "evt_12345";
const AMOUNT_MAX: i64 = 9_007_199_254_740_991;

/// Decodes a body. What is accepted keeps the rules of `docs`, what keeps them is accepted, and a refusal is poison
/// in one of a few sentences: nothing of the body is in it (I9).
pub fn payload(data: &[u8]) -> Taken {
    let decoded = decode(data);
    let value = serde_json::from_slice::<Value>(data).ok();
    match &decoded {
        Ok(names_its_event) => {
            // A number that no JSON reader of ours holds may stand where nobody looks.
            if let Some(value) = &value {
                assert!(keeps_the_rules(value), "accepted: {value}");
                let names = value.get("id").is_some_and(|id| id == ID);
                assert_eq!(*names_its_event, names, "{value}");
            }
        }
        Err(fault) => {
            assert_eq!(fault.class, Class::Poison);
            let sentence = without_numbers(&fault.message);
            assert!(sentences().contains(&sentence), "new: {}", fault.message);
        }
    }
    if let Some(value) = value {
        // Written again no field is there twice.
        let again = serde_json::to_vec(&value).expect("a value is JSON");
        let known = value.get("occurredAt").is_none_or(Value::is_null);
        if known {
            let accepted = decode(&again).is_ok();
            assert_eq!(accepted, keeps_the_rules(&value), "{value}");
        }
    }
    decoded.is_ok()
}

/// Whether the body names its event, where it is accepted.
fn decode(body: &[u8]) -> Result<bool, Fault> {
    let envelope = Envelope {
        event_id: ID.parse().expect("an event id"),
        source: "default".parse().expect("a name"),
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
    };
    let effect = Payments.decode(&envelope)?;
    Ok(Payments.names_its_event(&effect))
}

/// The rules in other words than those of the code, all but that of a time.
fn keeps_the_rules(body: &Value) -> bool {
    let Some(fields) = body.as_object() else {
        return false;
    };
    let is_text = |value: &Value| {
        let text = value.as_str();
        text.is_some_and(|text| (1..=128).contains(&text.len()) && !text.contains('\0'))
    };
    let is_amount = |value: &Value| {
        value
            .as_i64()
            .is_some_and(|n| (0..=AMOUNT_MAX).contains(&n))
    };
    let is_currency = |value: &Value| {
        let code = value.as_str().unwrap_or_default();
        code.len() == 3 && code.chars().all(|letter| letter.is_ascii_alphabetic())
    };
    let required = |name| there(fields, name);
    let optional = |name, rule: &dyn Fn(&Value) -> bool| there(fields, name).is_none_or(rule);
    required("orderId").is_some_and(is_text)
        && required("status").is_some_and(is_text)
        && required("amount").is_some_and(is_amount)
        && optional("type", &is_text)
        && optional("currency", &is_currency)
        && optional("id", &|id| id == ID)
        && optional("apiVersion", &|version| version == "1")
}

/// What is `null` is not there.
fn there<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// What is said of bodies that are ours, and so nobody's secret: one for each rule that can be broken.
fn sentences() -> &'static BTreeSet<String> {
    static SENTENCES: OnceLock<BTreeSet<String>> = OnceLock::new();
    SENTENCES.get_or_init(|| {
        let broken = [
            "",
            "[]",
            "{}",
            r#"{"orderId":0}"#,
            r#"{"orderId":"o"}"#,
            r#"{"orderId":"o","amount":""}"#,
            r#"{"orderId":"o","amount":1}"#,
            r#"{"orderId":"o","amount":1,"status":0}"#,
            r#"{"type":0}"#,
            r#"{"id":0}"#,
            r#"{"apiVersion":0}"#,
            r#"{"occurredAt":0}"#,
            r#"{"orderId":"o","amount":1,"status":"s","currency":0}"#,
        ];
        let said = broken.map(|body| decode(body.as_bytes()).expect_err(body).message);
        said.iter()
            .map(|message| without_numbers(message))
            .collect()
    })
}

/// Lines and columns are no part of a body.
fn without_numbers(message: &str) -> String {
    let digits = |character: char| character.is_ascii_digit();
    message
        .split(digits)
        .filter(|part| !part.is_empty())
        .collect()
}
