//! What cannot be applied ends where a person can see it, and its neighbours are applied.

use chaos::books::Books;
use chaos::sender::Event;
use chaos::system::{Corner, serve};
use std::time::Duration;
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

/// Bodies that are accepted with 200 and can never be applied, with the reason of their dead letters.
const POISON: [(&str, &str, &str); 7] = [
    ("evt_garbage", "this is not json", "not_json"),
    ("evt_no_order", r#"{"amount":1,"status":"new"}"#, "schema"),
    (
        "evt_negative",
        r#"{"orderId":"o","amount":-1,"status":"new"}"#,
        "schema",
    ),
    (
        "evt_fraction",
        r#"{"orderId":"o","amount":0.5,"status":"new"}"#,
        "schema",
    ),
    (
        "evt_version",
        r#"{"orderId":"o","amount":1,"status":"new","apiVersion":"99"}"#,
        "unknown_version",
    ),
    (
        "evt_contradicts",
        r#"{"id":"evt_else","orderId":"o","amount":1,"status":"new"}"#,
        "contradicting_id",
    ),
    (
        "evt_nul",
        r#"{"orderId":"o\u0000","amount":1,"status":"new"}"#,
        "schema",
    ),
];

async fn poison_is_archived_and_its_neighbours_are_applied(url: &str, books: &Books) {
    for (id, body, _) in POISON {
        assert_eq!(Event::new(id, body).send(url).await.status(), 200, "{id}");
        let neighbour = Event::payment(&format!("neighbour_of_{id}"));
        assert_eq!(neighbour.send(url).await.status(), 200);
    }
    let expected = POISON
        .map(|(id, _, reason)| (id.to_owned(), reason.to_owned()))
        .into();
    wait_until("all have met their endings", PATIENCE, async || {
        books.dead().await == expected && books.payments().await.len() == POISON.len()
    })
    .await;
    let letters = "SELECT class, state, error FROM dead_letters";
    for letter in books.query(letters).await.unwrap() {
        assert_eq!(letter[..2], ["poison", "dead"]);
        assert!(!letter[2].is_empty());
    }
}

async fn the_newest_event_of_an_order_wins_and_unknown_fields_are_kept(url: &str, books: &Books) {
    let body = |minute: u32, status: &str| {
        let at = format!("2026-11-23T10:{minute:02}:00Z");
        format!(
            r#"{{"orderId":"o_1","amount":{minute},"status":"{status}","occurredAt":"{at}","x":[1]}}"#
        )
    };
    let steps = [
        ("evt_b", 20, "shipped"),
        ("evt_a", 10, "paid"),
        ("evt_c", 30, "delivered"),
    ];
    for (count, (id, minute, status)) in steps.into_iter().enumerate() {
        assert_eq!(
            Event::new(id, body(minute, status))
                .send(url)
                .await
                .status(),
            200
        );
        let applied = format!("SELECT event_id FROM payments WHERE event_id = '{id}'");
        wait_until("it is applied", PATIENCE, async || {
            books
                .query(&applied)
                .await
                .is_some_and(|rows| rows.len() == 1)
        })
        .await;
        let order =
            "SELECT status, CAST(applied_events AS text) FROM orders WHERE order_id = 'o_1'";
        let newest = if count < 2 { "shipped" } else { "delivered" };
        assert_eq!(
            books.query(order).await.unwrap(),
            [[newest.to_owned(), (count + 1).to_string()]]
        );
    }
    assert_eq!(
        books.payload("evt_a").await.unwrap(),
        body(10, "paid").into_bytes()
    );
}

async fn the_same_id_with_another_body_is_kept_as_evidence(url: &str, books: &Books) {
    let body = |amount: u32| format!(r#"{{"orderId":"o_2","amount":{amount},"status":"paid"}}"#);
    assert_eq!(
        Event::new("evt_twice", body(1)).send(url).await.status(),
        200
    );
    wait_until("it is applied", PATIENCE, async || {
        books.payments().await.contains_key("evt_twice")
    })
    .await;
    assert_eq!(
        Event::new("evt_twice", body(2)).send(url).await.status(),
        200
    );
    wait_until("the other body is a dead letter", PATIENCE, async || {
        books
            .dead()
            .await
            .get("evt_twice")
            .is_some_and(|reason| reason == "conflicting_body")
    })
    .await;
    let amount = "SELECT CAST(amount AS text) FROM payments WHERE event_id = 'evt_twice'";
    assert_eq!(books.query(amount).await.unwrap(), [["1"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_is_visible_with_no_server_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    poison_is_archived_and_its_neighbours_are_applied(&node.url, &books).await;
    the_newest_event_of_an_order_wins_and_unknown_fields_are_kept(&node.url, &books).await;
    the_same_id_with_another_body_is_kept_as_evidence(&node.url, &books).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_is_visible_on_real_servers() {
    let corner = Corner::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let _archiver = corner.servers.archiver(folder.path()).await;
    let books = corner.servers.books();
    poison_is_archived_and_its_neighbours_are_applied(&ingest.url, &books).await;
    the_newest_event_of_an_order_wins_and_unknown_fields_are_kept(&ingest.url, &books).await;
    the_same_id_with_another_body_is_kept_as_evidence(&ingest.url, &books).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_request_under_a_new_id_is_not_applied_again() {
    let folder = tempfile::tempdir().unwrap();
    let (node, books) = serve(folder.path()).await;
    let captured = Event::new(
        "evt_honest",
        r#"{"orderId":"o_3","amount":5,"status":"paid"}"#,
    );
    assert_eq!(captured.send(&node.url).await.status(), 200);
    wait_until("it is applied", PATIENCE, async || {
        books.payments().await.len() == 1
    })
    .await;
    let replayed = Event {
        id: "evt_forged".to_owned(),
        ..captured
    };
    assert_eq!(replayed.send(&node.url).await.status(), 200);
    wait_until("the replay is a dead letter", PATIENCE, async || {
        books
            .dead()
            .await
            .get("evt_forged")
            .is_some_and(|reason| reason == "replayed_signature")
    })
    .await;
    assert_eq!(books.payments().await.len(), 1);
}

/// Bodies that have broken parsers and databases elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_break_parsers_are_dead_letters_and_their_neighbours_are_applied() {
    let corner = Corner::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let _archiver = corner.servers.archiver(folder.path()).await;
    let payment = |order: &str, amount: &str| {
        format!(r#"{{"orderId":"{order}","amount":{amount},"status":"new"}}"#).into_bytes()
    };
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let poison = [
        ("deep", deep.into_bytes()),
        ("infinite", payment("o", "1e400000")),
        ("beyond", payment("o", "9007199254740993")),
        ("long", payment(&"o".repeat(3_000), "1")),
        ("nul", payment(r"o\u0000", "1")),
        ("half", payment(r"o\ud800", "1")),
        ("bytes", vec![0xff, 0xfe, 0x00]),
        ("empty", Vec::new()),
    ];
    let many = poison.len();
    for (id, body) in poison {
        let status = Event::new(id, body).send(&ingest.url).await.status();
        assert_eq!(status, 200, "{id}");
        let neighbour = Event::payment(&format!("neighbour_of_{id}"));
        assert_eq!(neighbour.send(&ingest.url).await.status(), 200);
    }
    let books = corner.servers.books();
    wait_until("all have met their endings", PATIENCE, async || {
        (books.dead().await.len(), books.payments().await.len()) == (many, many)
    })
    .await;
}
