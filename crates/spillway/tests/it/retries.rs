//! An event that cannot be applied yet is tried again after 1, 2, 4, 8 and 16 seconds.

use chaos::sender::Event;
use chaos::system::Corner;
use std::time::{Duration, Instant};
use testkit::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

async fn execute(corner: &Corner, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(&corner.servers.ledger, tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(async { connection.await.ok() });
    client.batch_execute(sql).await.unwrap();
}

fn payment(id: &str, order: &str) -> Event {
    Event::new(
        id,
        format!(r#"{{"id":"{id}","orderId":"{order}","amount":1,"status":"paid"}}"#),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_too_early_is_retried_and_one_that_never_fits_is_dead_after_five_retries()
 {
    let corner = Corner::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let _archiver = corner.servers.archiver(folder.path()).await;
    // A child that comes before its parent: a foreign key is the one fault that passes by itself.
    execute(
        &corner,
        "CREATE TABLE known (order_id text PRIMARY KEY); INSERT INTO known VALUES ('healthy');
         ALTER TABLE payments ADD FOREIGN KEY (order_id) REFERENCES known",
    )
    .await;
    let started = Instant::now();
    for event in [
        payment("evt_early", "early"),
        payment("evt_never", "never"),
        payment("evt_healthy", "healthy"),
    ] {
        assert_eq!(event.send(&ingest.url).await.status(), 200);
    }
    let books = corner.servers.books();
    wait_until("its neighbour is applied", PATIENCE, async || {
        books.payments().await.contains_key("evt_healthy")
    })
    .await;
    wait_until("the second retry is under way", PATIENCE, async || {
        started.elapsed() > Duration::from_millis(1_500)
    })
    .await;
    execute(&corner, "INSERT INTO known VALUES ('early')").await;
    wait_until("the early one is applied", PATIENCE, async || {
        books.payments().await.contains_key("evt_early")
    })
    .await;
    let attempt =
        "SELECT CAST(attempt AS text) FROM processed_webhooks WHERE event_id = 'evt_early'";
    assert_eq!(
        books.query(attempt).await.unwrap(),
        [["3"]],
        "after 1 s and 2 s"
    );

    wait_until("the other one is dead", PATIENCE, async || {
        books
            .dead()
            .await
            .get("evt_never")
            .is_some_and(|reason| reason == "retries_exhausted")
    })
    .await;
    assert!(
        started.elapsed() >= Duration::from_secs(31),
        "1 + 2 + 4 + 8 + 16 s: {:?}",
        started.elapsed()
    );
    // First seen at the door, and so all its waits before it was given up.
    let letter = "SELECT class, CAST(attempts AS text), \
        CAST(dead_at - first_seen >= interval '31 seconds' AS text), error FROM dead_letters";
    let letter = books.query(letter).await.unwrap().remove(0);
    assert_eq!(letter[..3], ["passing", "6", "true"]);
    assert!(letter[3].contains("23503"), "{letter:?}");
}
