//! Whether a broker still holds an event: the embedded one looks, RabbitMQ cannot.

use crate::amqp::RabbitMq;
use crate::books::Books;
use crate::embedded::Embedded;
use crate::harness::*;
use broker::{Destination, QueueName};
use envelope::{EventId, SourceName};
use std::time::Duration;
use testkit::wait_until;
use tokio::time::timeout;

fn names(of: &[(&str, u32)]) -> Vec<(SourceName, EventId)> {
    let name = |(source, id): &(&str, u32)| {
        let id = id.to_string();
        (source.parse().unwrap(), id.parse().unwrap())
    };
    of.iter().map(name).collect()
}

async fn held(session: &Session<broker::Broker>, of: &[(&str, u32)]) -> Option<Vec<bool>> {
    let names = names(of);
    let held = timeout(DEADLINE, session.broker.holds(&names)).await;
    held.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_held_wherever_it_waits_and_until_it_is_acked() {
    let harness = Embedded::new().await;
    let session = harness.start().await;
    session.publish_all(1..=3).await;
    let mut consumer = session.broker.consumer(main_queue(), 2);
    let mut taken = take(&mut consumer, 2).await;
    let retry = QueueName::retry(&payments(), Duration::from_secs(16));
    for (queue, id) in [(retry, "4"), (QueueName::dead(&payments()), "5")] {
        let to = Destination::Queue(queue);
        let _confirmed = session.publish(to, event(id, "stripe")).await.unwrap();
    }
    let to = Destination::Events;
    let _confirmed = session.publish(to, event("6", "nobodys")).await.unwrap();
    // Neither an entry of the journal nor something of somebody else's counts.
    harness.enter_foreign(b"{}").await;
    harness.insert(&main_queue(), &Default::default(), b"{}");

    let mut asked = vec![("default", 1), ("default", 2), ("default", 3)];
    asked.extend([("stripe", 4), ("stripe", 5), ("nobodys", 6)]);
    asked.extend([("stripe", 1), ("default", 4), ("default", 7)]);
    let mut expected = [[true; 3], [true; 3], [false; 3]].concat();
    // Asked for twice it is there twice.
    asked.push(("default", 3));
    expected.push(true);
    assert_eq!(held(&session, &asked).await, Some(expected));

    taken.remove(0).receipt.ack();
    wait_until("the acked one is gone", DEADLINE, async || {
        held(&session, &asked[..2]).await == Some(vec![false, true])
    })
    .await;
    assert_eq!(held(&session, &[]).await, Some(vec![]));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_cannot_say_what_it_holds() {
    let harness = RabbitMq::new().await;
    let session = harness.start().await;
    session.publish_all([1]).await;
    assert_eq!(held(&session, &[("default", 1)]).await, None);
    session.stop().await;
}
