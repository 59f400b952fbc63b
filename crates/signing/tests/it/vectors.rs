//! Signatures that others have made, as they were published.

use crate::request::{Request, check_at};
use envelope::UnixSeconds;
use signing::{Refusal, SchemeName};

struct Vector {
    scheme: SchemeName,
    secret: &'static str,
    now: i64,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    id: &'static str,
}

const VECTORS: [Vector; 4] = [
    // https://docs.slack.dev/authentication/verifying-requests-from-slack
    Vector {
        scheme: SchemeName::Slack,
        secret: "8f742231b10e8888abcd99yyyzzz85a5",
        now: 1_531_420_618,
        headers: &[
            ("X-Slack-Request-Timestamp", "1531420618"),
            (
                "X-Slack-Signature",
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            ),
        ],
        body: "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
               &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
               &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554\
               %2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        id: "sha256:",
    },
    // Made with: printf '%s' "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -binary | base64, as the guide at
    // https://shopify.dev/docs/apps/build/webhooks/subscribe/https has it.
    Vector {
        scheme: SchemeName::Shopify,
        secret: "test-webhook-secret",
        now: 0,
        headers: &[
            (
                "X-Shopify-Webhook-Id",
                "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
            ),
            (
                "X-Shopify-Hmac-Sha256",
                "QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw=",
            ),
        ],
        body: r#"{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}"#,
        id: "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    },
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    Vector {
        scheme: SchemeName::Github,
        secret: "It's a Secret to Everybody",
        now: 0,
        headers: &[
            ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            (
                "X-Hub-Signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
        ],
        body: "Hello, World!",
        id: "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    },
    // https://docs.svix.com/receiving/verifying-payloads/how-manual
    Vector {
        scheme: SchemeName::Svix,
        secret: "whsec_plJ3nmyCDGBKInavdOK15jsl",
        now: 1_731_705_121,
        headers: &[
            ("svix-id", "msg_loFOjxBNrRLzqYUf"),
            ("svix-timestamp", "1731705121"),
            (
                "svix-signature",
                "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
            ),
        ],
        body: r#"{"event_type":"ping","data":{"success":true}}"#,
        id: "msg_loFOjxBNrRLzqYUf",
    },
];

#[test]
fn what_the_vendors_publish_is_let_in_and_nothing_else() {
    for vector in VECTORS {
        let scheme = vector.scheme.scheme().unwrap();
        let headers = vector.headers.iter();
        let mut request = Request {
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect(),
            body: vector.body.into(),
        };
        let now = UnixSeconds(vector.now);
        let verified = check_at(scheme, &request, now, &[vector.secret]).unwrap();
        let id = verified.event_id().as_str();
        assert!(id.starts_with(vector.id), "{}: {id}", vector.scheme);
        request.body[3] ^= 1;
        let refused = check_at(scheme, &request, now, &[vector.secret]).unwrap_err();
        assert_eq!(refused, Refusal::Signature, "{}", vector.scheme);
    }
}
