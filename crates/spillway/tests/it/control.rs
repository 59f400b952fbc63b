//! The control server: it keeps the books of a cluster, and nothing depends on it.

use crate::reconcile::ledger_of;
use chaos::sender::Event;
use chaos::system::{Corner, Servers};
use std::time::Duration;
use testkit::{Postgres, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_come_while_the_database_is_away_are_archived_when_it_returns() {
    let corner = Corner::new().await;
    let mut postgres = Postgres::start().await.unwrap();
    let database = postgres.database().await.unwrap();
    let servers = Servers {
        ledger: database.url().to_owned(),
        ..corner.servers.clone()
    };
    let (ingest, _worker) = (servers.ingest().await, servers.worker().await);
    // Two do no harm.
    let _controls = [servers.control().await, servers.control().await];
    postgres.stop().await.unwrap();
    for number in 0..40 {
        let poison = Event::new(&format!("evt_{number}"), "not json");
        assert_eq!(poison.send(&ingest.url).await.status(), 200);
    }
    postgres.restart().await.unwrap();
    let books = servers.books();
    wait_until("all are archived", PATIENCE, async || {
        books.dead().await.len() == 40
    })
    .await;
    servers.operate(&["reconcile"]).await.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_lost_shows_on_the_metrics_page_and_goes_when_it_is_repaired() {
    let corner = Corner::new().await;
    let (ingest, mut worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    let control = corner.servers.control().await;
    let unaccounted = "spillway_unaccounted_events";
    assert_eq!(control.metric(unaccounted).await, 0.0);
    worker.terminate().await;
    assert_eq!(
        Event::payment("evt_lost").send(&ingest.url).await.status(),
        200
    );
    assert_eq!(
        Event::payment("evt_kept").send(&ingest.url).await.status(),
        200
    );
    // Somebody empties the queue by hand: accepted, and nowhere.
    let (vhost, management) = (corner.vhost.name(), corner.vhost.management());
    let contents = format!("queues/{vhost}/spillway.payments/contents");
    wait_until("both are in the queue", PATIENCE, async || {
        corner
            .vhost
            .ready("spillway.payments")
            .await
            .is_ok_and(|ready| ready == 2)
    })
    .await;
    management.delete(&contents).await.unwrap();
    let _worker = corner.servers.worker().await;
    wait_until("they are missed", PATIENCE, async || {
        control.metric(unaccounted).await == 2.0
    })
    .await;
    corner
        .servers
        .operate(&["reconcile", "--repair"])
        .await
        .fine();
    wait_until("they are accounted for", PATIENCE, async || {
        control.metric(unaccounted).await == 0.0
    })
    .await;
    let payments = corner.servers.books().payments().await;
    assert_eq!(payments.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_it_has_to_be_is_forgotten() {
    let corner = Corner::new().await;
    let (ingest, _worker) = (corner.servers.ingest().await, corner.servers.worker().await);
    for number in 0..10 {
        let event = Event::payment(&format!("evt_{number}"));
        assert_eq!(event.send(&ingest.url).await.status(), 200);
    }
    let books = corner.servers.books();
    wait_until("all are applied", PATIENCE, async || {
        books.payments().await.len() == 10
    })
    .await;
    let age = "UPDATE processed_webhooks SET processed_at = processed_at - interval '31 days' \
        WHERE event_id <> 'evt_0'";
    ledger_of(&corner).await.batch_execute(age).await.unwrap();
    let _control = corner.servers.control().await;
    // It looks once a minute.
    wait_until("they are forgotten", PATIENCE * 2, async || {
        books.count("processed_webhooks").await == 1
    })
    .await;
    assert_eq!(books.payments().await.len(), 10, "the business rows stay");
}
