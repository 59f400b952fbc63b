//! What every broker promises. Each test is generic over the implementation.

use crate::harness::*;
use broker::{Content, Destination, LaneState, PublishError, QueueName};
use bytes::Bytes;
use envelope::{Attempt, ContentType, DeadLetterNote, ErrorText, Foreign, TraceParent};
use envelope::{SignatureDigest, UnixSeconds, Wire, header};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Runs the whole suite over one implementation.
macro_rules! conformance {
    ($harness:ty) => {
        conformance! { $harness:
            a_confirmed_event_is_delivered_byte_for_byte,
            every_pipeline_that_takes_the_source_gets_the_event,
            an_event_no_pipeline_takes_waits_among_the_unrouted,
            a_delivery_not_settled_comes_again_after_the_consumer_closed,
            a_delivery_in_hand_at_a_restart_comes_again_and_says_so,
            an_acked_delivery_never_comes_again,
            acks_out_of_order_erase_exactly_what_was_acked,
            events_come_in_the_order_they_were_confirmed,
            a_retry_comes_back_after_its_delay_and_not_before,
            a_retry_reaches_no_other_pipeline,
            at_most_prefetch_deliveries_are_in_hand,
            two_consumers_share_a_queue_and_nothing_comes_twice,
            a_foreign_message_is_delivered_as_foreign,
            closing_tells_the_broker_every_ending,
            stopping_gives_every_waiting_publish_a_verdict,
            a_broker_that_has_stopped_says_so_at_once,
        }
    };
    ($harness:ty: $($test:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                $crate::conformance::$test::<$harness>().await;
            }
        )+
    };
}

pub async fn a_confirmed_event_is_delivered_byte_for_byte<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let traceparent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut sent = event("evt_12345", "default");
    sent.body = Bytes::from((0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    sent.content_type = ContentType::from_bytes(b"application/json; charset=utf-8");
    sent.signed_at = Some(UnixSeconds(1_763_900_000));
    sent.signature_digest = Some(SignatureDigest::of(&[b"signed"]));
    sent.attempt = Attempt::FIRST.next();
    (sent.parked, sent.replays) = (7, 2);
    sent.note = Some(DeadLetterNote {
        class: "passing".into(),
        reason: "foreign_key".into(),
        error: ErrorText::cut("the order is not there yet: ü"),
    });
    sent.traceparent = TraceParent::from_bytes(traceparent);
    let _confirmed = session
        .publish(Destination::Events, sent.clone())
        .await
        .unwrap();

    let delivery = take_one(&mut session.consumer(main_queue())).await;
    assert_eq!(delivery.delivery_count, 0);
    assert_eq!(delivery.content, Content::Event(sent));
    session.stop().await;
}

pub async fn every_pipeline_that_takes_the_source_gets_the_event<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    for (id, source) in [("1", "stripe"), ("2", "default"), ("3", "stripe")] {
        let _confirmed = session
            .publish(Destination::Events, event(id, source))
            .await
            .unwrap();
    }
    let mut payments = session.consumer(main_queue());
    let mut audit = session.consumer(QueueName::main(&"audit".parse().unwrap()));
    assert_eq!(ids(&take(&mut payments, 3).await), [1, 2, 3]);
    assert_eq!(ids(&take(&mut audit, 2).await), [1, 3]);
    session.stop().await;
}

pub async fn an_event_no_pipeline_takes_waits_among_the_unrouted<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let _confirmed = session
        .publish(Destination::Events, event("1", "nobodys"))
        .await
        .unwrap();
    let delivery = take_one(&mut session.consumer(QueueName::unrouted())).await;
    assert_eq!(envelope(&delivery), &event("1", "nobodys"));
    session.stop().await;
}

pub async fn a_delivery_not_settled_comes_again_after_the_consumer_closed<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=3).await;
    let mut first = session.consumer(main_queue());
    let mut taken = take(&mut first, 3).await;
    taken.remove(1).receipt.ack();
    drop(taken);
    close(first).await;

    let mut second = session.consumer(main_queue());
    let again = take(&mut second, 2).await;
    assert_eq!(ids(&again), [1, 3]);
    assert!(again.iter().all(|delivery| delivery.delivery_count >= 1));
    session.stop().await;
}

pub async fn a_delivery_in_hand_at_a_restart_comes_again_and_says_so<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=2).await;
    let mut consumer = session.consumer(main_queue());
    let in_hand = take(&mut consumer, 2).await;
    session.stop().await;
    // Its session is over, and so this says nothing to anybody.
    ack_all(in_hand);

    let session = harness.start().await;
    let again = take(&mut session.consumer(main_queue()), 2).await;
    assert_eq!(ids(&again), [1, 2]);
    assert!(again.iter().all(|delivery| delivery.delivery_count >= 1));
    session.stop().await;
}

pub async fn an_acked_delivery_never_comes_again<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=5).await;
    let mut consumer = session.consumer(main_queue());
    ack_all(take(&mut consumer, 5).await);
    close(consumer).await;
    session.stop().await;

    let session = harness.start().await;
    session.publish_all([6]).await;
    let mut consumer = session.consumer(main_queue());
    assert_eq!(id(&take_one(&mut consumer).await), 6);
    session.stop().await;
}

pub async fn acks_out_of_order_erase_exactly_what_was_acked<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(0..20).await;
    let mut consumer = session.consumer(main_queue());
    let mut kept = Vec::new();
    // 7 and 20 have no common divisor: every index once, in no order.
    let mut taken: Vec<_> = take(&mut consumer, 20)
        .await
        .into_iter()
        .map(Some)
        .collect();
    for delivery in (0..20).map(|step| taken[step * 7 % 20].take().unwrap()) {
        match id(&delivery) % 3 {
            0 => kept.push(delivery),
            _ => delivery.receipt.ack(),
        }
    }
    drop(kept);
    close(consumer).await;
    session.stop().await;

    let session = harness.start().await;
    let mut consumer = session.consumer(main_queue());
    let again = take(&mut consumer, 7).await;
    assert_eq!(ids(&again), [0, 3, 6, 9, 12, 15, 18]);
    assert!(is_silent(&mut consumer).await);
    session.stop().await;
}

pub async fn events_come_in_the_order_they_were_confirmed<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let mut consumer = session.consumer(main_queue());
    session.publish_all(1..=100).await;
    for expected in 1..=100 {
        let delivery = take_one(&mut consumer).await;
        assert_eq!(id(&delivery), expected);
        delivery.receipt.ack();
    }
    session.stop().await;
}

pub async fn a_retry_comes_back_after_its_delay_and_not_before<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all([1]).await;
    let mut consumer = session.consumer(main_queue());
    let first = take_one(&mut consumer).await;

    let second = Duration::from_secs(1);
    let mut retry = envelope(&first).clone();
    retry.attempt = retry.attempt.next();
    let to = Destination::Queue(QueueName::retry(&payments(), second));
    let before = Instant::now();
    let _confirmed = session.publish(to, retry.clone()).await.unwrap();
    first.receipt.ack();

    let again = take_one(&mut consumer).await;
    let waited = before.elapsed();
    assert_eq!(again.content, Content::Event(retry));
    assert!(waited >= second, "it came after {waited:?}");
    assert!(waited < 2 * second, "it came after {waited:?}");
    session.stop().await;
}

pub async fn a_retry_reaches_no_other_pipeline<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let to = Destination::Queue(main_queue());
    let _confirmed = session.publish(to, event("1", "stripe")).await.unwrap();
    take_one(&mut session.consumer(main_queue()))
        .await
        .receipt
        .ack();
    let mut audit = session.consumer(QueueName::main(&"audit".parse().unwrap()));
    assert!(is_silent(&mut audit).await);
    session.stop().await;
}

pub async fn at_most_prefetch_deliveries_are_in_hand<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=10).await;
    let mut consumer = session.broker.consumer(main_queue(), 3);
    let mut in_hand = take(&mut consumer, 3).await;
    assert!(is_silent(&mut consumer).await);
    in_hand.remove(0).receipt.ack();
    in_hand.push(take_one(&mut consumer).await);
    assert!(is_silent(&mut consumer).await);
    assert_eq!(ids(&in_hand), [2, 3, 4]);
    session.stop().await;
}

pub async fn two_consumers_share_a_queue_and_nothing_comes_twice<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let mut left = session.broker.consumer(main_queue(), 5);
    let mut right = session.broker.consumer(main_queue(), 5);
    session.publish_all(1..=10).await;
    let mut taken = take(&mut left, 5).await;
    taken.extend(take(&mut right, 5).await);
    assert_eq!(ids(&taken), (1..=10).collect::<Vec<_>>());
    session.stop().await;
}

pub async fn a_foreign_message_is_delivered_as_foreign<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let wire = Wire {
        message_id: Some("theirs".into()),
        ..Wire::default()
    };
    let body = Bytes::from_static(b"\x00not ours\xff");
    harness.inject(&main_queue(), wire, body.clone()).await;

    let mut consumer = session.consumer(main_queue());
    let delivery = take_one(&mut consumer).await;
    match delivery.content {
        Content::Foreign {
            wire,
            body: found,
            why,
        } => {
            assert_eq!(found, body);
            assert_eq!(wire.message_id.as_deref(), Some("theirs"));
            assert_eq!(why, Foreign::Missing(header::ENVELOPE));
        }
        Content::Event(envelope) => panic!("taken for one of ours: {envelope:?}"),
    }
    delivery.receipt.ack();
    close(consumer).await;
    session.stop().await;
}

pub async fn closing_tells_the_broker_every_ending<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    session.publish_all(1..=50).await;
    let mut consumer = session.consumer(main_queue());
    let (acked, dropped) = take(&mut consumer, 50)
        .await
        .into_iter()
        .partition::<Vec<_>, _>(|delivery| id(delivery).is_multiple_of(2));
    ack_all(acked);
    drop(dropped);
    close(consumer).await;

    // The same session: nothing but the closing itself can have told it.
    let mut consumer = session.consumer(main_queue());
    let again = take(&mut consumer, 25).await;
    assert_eq!(ids(&again), (1..=50).step_by(2).collect::<Vec<_>>());
    assert!(is_silent(&mut consumer).await);
    session.stop().await;
}

pub async fn stopping_gives_every_waiting_publish_a_verdict<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let mut publishes = JoinSet::new();
    for id in 0..200_u32 {
        let publisher = session.broker.publisher();
        publishes.spawn(async move {
            let envelope = event(&id.to_string(), "default");
            (id, publisher.publish(Destination::Events, envelope).await)
        });
    }
    session.stop().await;
    let verdicts = timeout(DEADLINE, publishes.join_all()).await;
    let mut confirmed: Vec<_> = verdicts
        .expect("every publish has its verdict")
        .into_iter()
        .filter_map(|(id, verdict)| verdict.is_ok().then_some(id))
        .collect();
    confirmed.sort_unstable();

    let session = harness.start().await;
    session.publish_all([1_000]).await;
    let mut consumer = session.consumer(main_queue());
    let mut found = Vec::new();
    // An event without a verdict may be there as well: a duplicate, never a loss.
    while found.last() != Some(&1_000) {
        let delivery = take_one(&mut consumer).await;
        found.push(id(&delivery));
        delivery.receipt.ack();
    }
    assert!(confirmed.iter().all(|id| found.contains(id)));
    session.stop().await;
}

pub async fn a_broker_that_has_stopped_says_so_at_once<H: Harness>() {
    let harness = H::new().await;
    let session = harness.start().await;
    let broker = session.broker.clone();
    let publisher = broker.publisher();
    session.stop().await;
    assert_eq!(publisher.state(), LaneState::Away);
    let verdict = publisher
        .publish(Destination::Events, event("1", "default"))
        .await;
    assert_eq!(verdict.unwrap_err(), PublishError::Away);
    let mut consumer = broker.consumer(main_queue(), 1);
    let ended = timeout(DEADLINE, consumer.next_batch(1)).await.unwrap();
    assert!(ended.is_none());
    close(consumer).await;
}
