//! A person is told why.

use crate::request::{BODY, NOW, OTHER, Request, SECRET, signed, signed_at};
use envelope::UnixSeconds;
use signing::explain::{Captured, Finding, explain};
use signing::{Scheme, SchemeName, Secret, ToSign};

const SPACED: &str = r#"{"orderId": "order_999", "name": "Zoë/", "amount": 9999}"#;
const COMPACT: &str = r#"{"orderId":"order_999","name":"Zoë/","amount":9999}"#;

fn spillway() -> Scheme {
    SchemeName::Spillway.scheme().unwrap()
}

fn captured(request: Request) -> Captured {
    Captured {
        headers: request
            .headers
            .into_iter()
            .map(|(name, value)| (name, String::from_utf8(value).unwrap()))
            .collect(),
        body: request.body,
    }
}

fn check(scheme: Scheme, request: Captured, secrets: &[&str]) -> Vec<Finding> {
    let secrets: Vec<_> = secrets
        .iter()
        .map(|text| Secret::new(text).unwrap())
        .collect();
    explain(scheme, &secrets, &request, NOW).unwrap()
}

/// Signed over one body and sent with another.
fn rewritten(signed_body: &str, sent: &str) -> Vec<Finding> {
    let mut request = captured(signed_at(spillway(), NOW, signed_body.as_bytes()));
    request.body = sent.into();
    check(spillway(), request, &[SECRET])
}

#[test]
fn what_is_right_is_called_good_and_by_which_secret() {
    let found = check(spillway(), captured(signed(spillway())), &[OTHER, SECRET]);
    assert_eq!(found, [Finding::Good { key: Some(1) }]);
}

#[test]
fn a_wrong_secret_a_skew_and_a_header_are_told_apart() {
    let request = captured(signed(spillway()));
    assert_eq!(
        check(spillway(), request.clone(), &[OTHER]),
        [Finding::WrongSecret]
    );
    for seconds in [301, -400] {
        let late = signed_at(spillway(), UnixSeconds(NOW.0 - seconds), BODY);
        let found = check(spillway(), captured(late), &[SECRET]);
        assert_eq!(found, [Finding::Skew { seconds }]);
    }
    let mut without = request;
    without.headers.retain(|(name, _)| name != "x-timestamp");
    let found = check(spillway(), without, &[SECRET]);
    assert!(matches!(
        found.as_slice(),
        [Finding::Header {
            header: "x-timestamp",
            problem: "is missing"
        }]
    ));
}

#[test]
fn a_body_that_was_written_again_is_recognised() {
    let ascii = COMPACT.replace('ë', "\\u00eb");
    let php = COMPACT.replace('/', "\\/");
    let pretty = "{\n  \"a\": 1\n}";
    for (signed, sent) in [
        (COMPACT, SPACED),
        (ascii.as_str(), COMPACT),
        (php.as_str(), COMPACT),
        (COMPACT, php.as_str()),
        (pretty, r#"{"a":1}"#),
        ("a\nb", "a\r\nb"),
        ("x", "x\n"),
        ("x\n", "x"),
        ("", "x"),
    ] {
        let found = rewritten(signed, sent);
        assert!(
            matches!(found.as_slice(), [Finding::Reencoded { .. }]),
            "{signed} as {sent}: {found:?}"
        );
    }
    assert_eq!(
        rewritten(COMPACT, r#"{"orderId":"another"}"#),
        [Finding::WrongSecret]
    );
}

#[test]
fn another_scheme_and_another_reading_of_the_secret_are_recognised() {
    let github = captured(signed(SchemeName::Github.scheme().unwrap()));
    let found = check(spillway(), github, &[SECRET]);
    assert!(
        found.contains(&Finding::OtherScheme(SchemeName::Github)),
        "{found:?}"
    );
    // A sender that takes whsec_… for the key itself.
    let standard = SchemeName::StandardWebhooks.scheme().unwrap();
    let text_key = spillway().key(&Secret::new(SECRET).unwrap()).unwrap();
    let to_sign = ToSign {
        id: "evt_1",
        timestamp: NOW,
        body: BODY,
    };
    let headers = standard.sign(Some(&text_key), &to_sign);
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let request = Captured {
        headers: headers.collect(),
        body: BODY.to_vec(),
    };
    let found = check(standard, request, &[SECRET]);
    assert!(
        matches!(found.as_slice(), [Finding::KeyForm { .. }]),
        "{found:?}"
    );
}

#[test]
fn no_finding_repeats_a_secret_or_a_body() {
    let mut all = rewritten(COMPACT, SPACED);
    all.extend(rewritten(COMPACT, "another"));
    all.extend(check(spillway(), captured(signed(spillway())), &[OTHER]));
    for finding in all {
        let text = format!("{finding} {finding:?}");
        assert!(
            !text.contains("order_999") && !text.contains("MfKQ9r8G"),
            "{text}"
        );
    }
}
