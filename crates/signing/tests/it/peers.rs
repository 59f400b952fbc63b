//! The vendors' own libraries: what they sign is let in, what we sign they accept, and what is spoiled both refuse.
//!
//! They are installed under `target/` by the test kit. On a machine without Python or npm these tests have nobody
//! to ask, and say so; `cargo xtask test` has a step that shows it.

use crate::request::{ID, OTHER, Request, SECRET, check_at, signed_at};
use envelope::UnixSeconds;
use serde::{Deserialize, Serialize};
use signing::{Refusal, Scheme, SchemeName};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::peers;

/// As Stripe's library wants it: an event.
const BODY: &str =
    r#"{"id":"evt_12345","object":"event","type":"ping","name":"Zoë","amount":1.50}"#;
const LONG_AGO: i64 = 3600;

/// One question to a library.
#[derive(Serialize)]
struct Question<'a> {
    library: &'a str,
    action: &'a str,
    secret: &'a str,
    id: &'a str,
    timestamp: i64,
    body: &'a str,
    headers: BTreeMap<String, String>,
}

/// The headers it made, or whether it accepts.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    accepted: bool,
}

/// One vendor's library.
struct Peer {
    library: &'static str,
    scheme: SchemeName,
    /// Whether it sees that every header came twice. Stripe's takes one signature of the two.
    minds_doubled_headers: bool,
}

const fn peer(library: &'static str, scheme: SchemeName) -> Peer {
    Peer {
        library,
        scheme,
        minds_doubled_headers: !matches!(scheme, SchemeName::Stripe),
    }
}

#[test]
fn the_python_libraries_and_we_agree() {
    let Some(python) = peers::python() else {
        println!("nobody to ask: {}", peers::WITHOUT_PYTHON);
        return;
    };
    let ask = || {
        let mut command = Command::new(&python);
        command.args(["-c", include_str!("../peers/peer.py")]);
        command
    };
    agree(
        ask,
        &[
            peer("standardwebhooks", SchemeName::StandardWebhooks),
            peer("svix", SchemeName::Svix),
            peer("stripe", SchemeName::Stripe),
        ],
    );
}

#[test]
fn the_javascript_libraries_and_we_agree() {
    let Some(folder) = peers::node() else {
        println!("nobody to ask: {}", peers::WITHOUT_NODE);
        return;
    };
    let ask = || {
        let mut command = Command::new("node");
        command
            .args(["--input-type=module", "--eval"])
            .arg(include_str!("../peers/peer.mjs"))
            .current_dir(&folder);
        command
    };
    agree(
        ask,
        &[
            peer("standardwebhooks", SchemeName::StandardWebhooks),
            peer("stripe", SchemeName::Stripe),
            peer("octokit", SchemeName::Github),
        ],
    );
}

fn agree(ask: impl Fn() -> Command, peers: &[Peer]) {
    let now = now();
    // All of a vendor's answers come from one process: starting them is what takes time.
    let asked = |questions: &[Question<'_>]| -> Vec<Answer> {
        let answers = answers(ask(), questions);
        assert_eq!(answers.len(), questions.len());
        answers
    };
    let question = |peer: &'static str, action: &'static str| Question {
        library: peer,
        action,
        secret: SECRET,
        id: ID,
        timestamp: now.0,
        body: BODY,
        headers: BTreeMap::new(),
    };
    let signs: Vec<_> = peers
        .iter()
        .map(|peer| question(peer.library, "sign"))
        .collect();
    for (peer, theirs) in peers.iter().zip(asked(&signs)) {
        we_let_in(peer, &theirs.headers, now);
    }
    for peer in peers {
        let scheme = peer.scheme.scheme().unwrap();
        let cases = cases(scheme, now);
        let verifies: Vec<_> = cases
            .iter()
            .map(|case| Question {
                secret: case.secret,
                body: std::str::from_utf8(&case.request.body).unwrap(),
                headers: joined(&case.request),
                ..question(peer.library, "verify")
            })
            .collect();
        for (case, theirs) in cases.iter().zip(asked(&verifies)) {
            let ours = check_at(scheme, &case.request, now, &[case.secret]);
            let what = format!("{} {}: {}", peer.library, peer.scheme, case.name);
            assert_eq!(ours.is_ok(), case.is_good, "we, {what}: {ours:?}");
            let minds = peer.minds_doubled_headers || case.name != "doubled headers";
            assert_eq!(theirs.accepted, case.is_good || !minds, "they, {what}");
        }
    }
}

/// What they have signed; and not after somebody changed it.
fn we_let_in(peer: &Peer, headers: &BTreeMap<String, String>, now: UnixSeconds) {
    let scheme = peer.scheme.scheme().unwrap();
    let mut request = Request {
        headers: headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect(),
        body: BODY.into(),
    };
    let verified = check_at(scheme, &request, now, &[SECRET]).unwrap();
    assert_eq!(verified.event_id().as_str(), ID, "{}", peer.library);
    let refused = check_at(scheme, &request, now, &[OTHER]).unwrap_err();
    assert_eq!(refused, Refusal::Signature, "{}", peer.library);
    request.body[20] ^= 1;
    let refused = check_at(scheme, &request, now, &[SECRET]).unwrap_err();
    assert_eq!(refused, Refusal::Signature, "{}", peer.library);
}

struct Case {
    name: &'static str,
    request: Request,
    secret: &'static str,
    is_good: bool,
}

fn cases(scheme: Scheme, now: UnixSeconds) -> Vec<Case> {
    let good = signed_at(scheme, now, BODY.as_bytes());
    let case = |name, request: &Request, secret, is_good| Case {
        name,
        request: request.clone(),
        secret,
        is_good,
    };
    let mut flipped = good.clone();
    // "amount" becomes "bmount": still JSON, so that it is the signature they refuse.
    let at = BODY.find("amount").unwrap();
    flipped.body[at] ^= 3;
    let mut doubled = good.clone();
    doubled.headers.extend(good.headers.clone());
    let mut cases = vec![
        case("as signed", &good, SECRET, true),
        case("flipped bit", &flipped, SECRET, false),
        case("wrong secret", &good, OTHER, false),
        case("doubled headers", &doubled, SECRET, false),
    ];
    let is_stamped = check_at(scheme, &good, now, &[SECRET])
        .unwrap()
        .signed_at()
        .is_some();
    if is_stamped {
        let stale = signed_at(scheme, UnixSeconds(now.0 - LONG_AGO), BODY.as_bytes());
        cases.push(case("stale timestamp", &stale, SECRET, false));
    }
    cases
}

/// As servers hand a doubled header on (RFC 9110 §5.3).
fn joined(request: &Request) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &request.headers {
        let value = std::str::from_utf8(value).unwrap();
        joined
            .entry(name.clone())
            .and_modify(|before| *before = format!("{before}, {value}"))
            .or_insert_with(|| value.to_owned());
    }
    joined
}

fn answers(mut library: Command, questions: &[Question<'_>]) -> Vec<Answer> {
    let spawned = library.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut running = spawned.unwrap();
    let text = serde_json::to_vec(questions).unwrap();
    running.stdin.take().unwrap().write_all(&text).unwrap();
    let done = running.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", done.status);
    serde_json::from_slice(&done.stdout).unwrap()
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixSeconds(since.as_secs().cast_signed())
}
