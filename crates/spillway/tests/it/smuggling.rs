//! Requests that end where two readers disagree, and bytes that are no request of ours.

use crate::hostile::{Stays, answer_to, harms_nobody};
use crate::raw::head;
use chaos::sender::Event;
use chaos::system::Node;

/// A second request, for whoever takes the first one's end to be elsewhere.
const SMUGGLED: &str =
    "POST /webhooks/smuggled HTTP/1.1\r\nhost: spillway\r\ncontent-length: 0\r\n\r\n";

/// How a request that is none of ours is answered.
enum Ends {
    /// With this status, and once, whatever else was sent.
    With(u16),
    /// With a status of these, or none.
    WithOneOf(&'static [u16]),
}

#[tokio::test(flavor = "multi_thread")]
async fn what_smuggles_or_confuses_is_answered_once_and_stores_nothing() {
    use Ends::{With, WithOneOf};
    let event = Event::payment("evt_smuggler");
    let length = format!("content-length: {}\r\n", event.body.len());
    let framed = |framing: &str, body: &str| format!("{}{body}{SMUGGLED}", head(&event, framing));
    let line = |line: &str| format!("{line}\r\nhost: spillway\r\n{length}\r\n{SMUGGLED}");
    let field = |field: &[u8]| {
        let start = format!("POST /webhook HTTP/1.1\r\nhost: spillway\r\n{length}");
        [start.as_bytes(), field, b"\r\n\r\n", SMUGGLED.as_bytes()].concat()
    };
    let shapes: Vec<(&str, Vec<u8>, Ends)> = vec![
        // Where a body ends.
        (
            "an unknown coding",
            framed("transfer-encoding: xchunked\r\n", "0\r\n\r\n").into(),
            With(400),
        ),
        (
            "a coding that ends with another",
            framed("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n").into(),
            With(400),
        ),
        (
            "a coding and then another",
            framed(
                "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
                "0\r\n\r\n",
            )
            .into(),
            With(400),
        ),
        (
            "a coding before a space",
            framed("transfer-encoding : chunked\r\n", "0\r\n\r\n").into(),
            With(400),
        ),
        (
            "a coding on a folded line",
            framed("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n").into(),
            With(400),
        ),
        (
            "a coding in HTTP/1.0",
            framed("transfer-encoding: chunked\r\n", "0\r\n\r\n")
                .replace("HTTP/1.1", "HTTP/1.0")
                .into(),
            With(400),
        ),
        (
            "two lengths",
            framed(&format!("{length}content-length: 0\r\n"), "").into(),
            With(400),
        ),
        (
            "two lengths on one line",
            framed("content-length: 5, 6\r\n", "").into(),
            With(400),
        ),
        (
            "a length with a sign",
            framed("content-length: +0\r\n", "").into(),
            With(400),
        ),
        (
            "a length in hexadecimal",
            framed("content-length: 0x10\r\n", "").into(),
            With(400),
        ),
        (
            "a chunk without a size",
            framed("transfer-encoding: chunked\r\n", "\r\n").into(),
            With(400),
        ),
        (
            "a chunk with a sign",
            framed("transfer-encoding: chunked\r\n", "-1\r\n").into(),
            With(400),
        ),
        (
            "a chunk of more than there are bytes",
            framed("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n").into(),
            With(400),
        ),
        (
            "a chunk longer than its size",
            framed("transfer-encoding: chunked\r\n", "1\r\nab\r\n").into(),
            With(400),
        ),
        // What a head may be.
        ("a folded line", field(b"x-folded: a\r\n b"), With(400)),
        ("a space before the colon", field(b"x-space : a"), With(400)),
        ("a line without a colon", field(b"nonsense"), With(400)),
        ("a name that is empty", field(b": a"), With(400)),
        ("a null byte in a name", field(b"x-nu\0ll: a"), With(400)),
        ("a null byte in a value", field(b"x-null: a\0b"), With(400)),
        (
            "a null byte in the path",
            line("POST /webhook\0 HTTP/1.1").into(),
            With(400),
        ),
        (
            "a carriage return in a value",
            field(b"x-return: a\rb"),
            With(400),
        ),
        (
            "bytes that are no text in the path",
            [
                b"POST /\xff\xfe HTTP/1.1\r\n\r\n".as_slice(),
                SMUGGLED.as_bytes(),
            ]
            .concat(),
            With(400),
        ),
        (
            "a header of 100 kB",
            field(&[b"x-large: ".as_slice(), &[b'y'; 100_000]].concat()),
            With(431),
        ),
        (
            "a path of 100 kB",
            line(&format!("POST /{} HTTP/1.1", "p".repeat(100_000))).into(),
            WithOneOf(&[431]),
        ),
        (
            "a header without end",
            field(&[b'x'; 100_000]),
            WithOneOf(&[400, 431]),
        ),
        // Other protocols.
        ("HTTP/0.9", b"GET /webhook\r\n\r\n".to_vec(), With(400)),
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
            WithOneOf(&[505]),
        ),
        ("HTTP/3.0", line("POST /webhook HTTP/3.0").into(), With(400)),
        ("a hello of TLS", crate::tls::hello(), With(400)),
        (
            "a greeting of SMTP",
            b"EHLO spillway\r\nMAIL FROM:<a@b>\r\n".to_vec(),
            With(400),
        ),
        ("nothing but nulls", vec![0; 4096], With(400)),
        (
            "nothing but line ends",
            b"\r\n".repeat(20_000),
            WithOneOf(&[400, 431]),
        ),
    ];
    harms_nobody(async |ingest: &Node| {
        for (shape, bytes, ends) in shapes {
            let answer = answer_to(&ingest.url, &bytes, Stays::HalfOpen).await;
            let statuses: Vec<u16> = answer
                .split("HTTP/1.1 ")
                .skip(1)
                .map(|rest| rest[..3].parse().unwrap())
                .collect();
            println!("{shape}: {statuses:?}");
            match ends {
                With(status) => assert_eq!(statuses, [status], "{shape}: {answer}"),
                WithOneOf(allowed) => {
                    let is_one = |status: &u16| allowed.contains(status);
                    assert!(
                        statuses.len() <= 1 && statuses.iter().all(is_one),
                        "{shape}: {answer}"
                    );
                }
            }
        }
    })
    .await;
}
