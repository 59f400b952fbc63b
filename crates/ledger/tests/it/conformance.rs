//! What every ledger promises, whatever database is under it.

use crate::batch::{
    Deed, Payments, RECEIVED, about_order, event, event_with_body, failing, from_source, signed,
};
use crate::bench::{Bench, Sql};
use crate::letters::{foreign, letter};
use envelope::UnixMicros;
use ledger::{Applied, Candidate, DeadLetter, Found, Ledger, Verdict};
use resilience::{Class, Fault, Reason};

/// Every promise as a test of its own, on a bench made by `$bench`.
macro_rules! promises {
    ($bench:path) => {
        $crate::conformance::promises! { $bench:
            an_event_is_applied_once_however_often_it_comes,
            the_effects_and_the_dedupe_row_are_committed_together_or_not_at_all,
            same_key_other_body_is_conflicting,
            same_digest_under_another_id_is_a_replayed_signature,
            a_digest_counts_within_its_pipeline_and_source_only,
            an_event_without_a_digest_replays_nothing,
            a_batch_gets_its_verdicts_in_its_order,
            fifty_concurrent_commits_of_one_event_apply_it_once,
            two_batches_over_the_same_orders_in_any_order_do_not_deadlock,
            two_batches_of_the_same_events_in_any_order_do_not_deadlock,
            an_older_version_never_overwrites_a_newer_order_but_is_counted,
            the_witness_of_an_order_stops_instead_of_refusing_events,
            payload_is_kept_byte_for_byte,
            a_batch_may_be_empty,
            a_letter_is_reopened_by_more_replays_only,
            a_letter_whose_event_was_applied_is_superseded,
            a_letter_with_another_body_than_the_applied_one_stays_dead,
            a_letter_that_comes_twice_in_a_batch_is_filed_once,
            no_letter_is_refused_for_what_is_in_it,
            an_event_is_looked_up,
            a_suspects_starts_are_kept_until_they_are_cleared,
            a_start_that_is_written_down_twice_counts_once,
            filing_a_letter_gives_its_event_a_new_trial,
        }
    };
    ($bench:path: $($promise:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $promise() {
            $crate::conformance::$promise(&$bench().await).await;
        }
    )*};
}
pub(crate) use promises;

pub const APPLIED: Verdict = Verdict::Applied(Applied::by_commit());
pub const DUPLICATE: Verdict = Verdict::Duplicate(Applied::by_commit());

pub async fn commit<B: Bench>(bench: &B, batch: &[Candidate<Deed>]) -> Vec<Verdict> {
    bench.ledger().commit(&Payments, batch).await.unwrap()
}

async fn payments(bench: &impl Bench) -> i64 {
    bench.rows("payments").await
}

pub async fn an_event_is_applied_once_however_often_it_comes(bench: &impl Bench) {
    let batch = [event("a"), event("b")];
    assert_eq!(commit(bench, &batch).await, [APPLIED, APPLIED]);
    assert_eq!(commit(bench, &batch).await, [DUPLICATE, DUPLICATE]);
    let mixed = [event("c"), event("a")];
    assert_eq!(commit(bench, &mixed).await, [APPLIED, DUPLICATE]);
    assert_eq!(payments(bench).await, 3);
}

pub async fn the_effects_and_the_dedupe_row_are_committed_together_or_not_at_all(
    bench: &impl Bench,
) {
    let faults = [
        Fault::passing("not yet"),
        Fault::poison(Reason::Schema, "never"),
    ];
    for fault in faults {
        let batch = [event("a"), failing(event("b"), fault.clone())];
        let outcome = bench.ledger().commit(&Payments, &batch).await;
        assert_eq!(outcome, Err(fault));
        for table in ["processed_webhooks", "payments", "orders"] {
            let rows = bench.rows(table).await;
            assert_eq!(rows, 0, "{table}");
        }
    }
    let batch = [event("a"), event("b")];
    assert_eq!(commit(bench, &batch).await, [APPLIED, APPLIED]);
    assert_eq!(payments(bench).await, 2);
}

pub async fn same_key_other_body_is_conflicting(bench: &impl Bench) {
    commit(bench, &[event_with_body("a", "first")]).await;
    let verdicts = commit(bench, &[event_with_body("a", "second")]).await;
    assert_eq!(verdicts, [Verdict::ConflictingBody]);
    assert_eq!(bench.payload("a").await, b"first");
}

pub async fn same_digest_under_another_id_is_a_replayed_signature(bench: &impl Bench) {
    commit(bench, &[signed(event_with_body("a", "x"), b"1.x")]).await;
    let replay = signed(event_with_body("b", "x"), b"1.x");
    assert_eq!(commit(bench, &[replay]).await, [Verdict::ReplayedSignature]);
    let again = signed(event_with_body("a", "x"), b"1.x");
    assert_eq!(commit(bench, &[again]).await, [DUPLICATE]);
    assert_eq!(payments(bench).await, 1);
}

pub async fn a_digest_counts_within_its_pipeline_and_source_only(bench: &impl Bench) {
    let batch = [
        signed(from_source("payments", "shop", "a", "x"), b"1.x"),
        signed(from_source("payments", "other", "b", "x"), b"1.x"),
        signed(from_source("audit", "shop", "c", "x"), b"1.x"),
    ];
    assert_eq!(commit(bench, &batch).await, [APPLIED; 3]);
}

pub async fn an_event_without_a_digest_replays_nothing(bench: &impl Bench) {
    let batch = [event_with_body("a", "x"), event_with_body("b", "x")];
    assert_eq!(commit(bench, &batch).await, [APPLIED, APPLIED]);
    assert_eq!(commit(bench, &batch).await, [DUPLICATE, DUPLICATE]);
}

pub async fn a_batch_gets_its_verdicts_in_its_order(bench: &impl Bench) {
    commit(bench, &[signed(event_with_body("known", "x"), b"1.x")]).await;
    let batch = [
        event("new"),
        event_with_body("known", "other"),
        signed(event("replay"), b"1.x"),
        event_with_body("known-not", "x"),
        event("newer"),
    ];
    let verdicts = commit(bench, &batch).await;
    let (conflicting, replayed) = (Verdict::ConflictingBody, Verdict::ReplayedSignature);
    assert_eq!(verdicts, [APPLIED, conflicting, replayed, APPLIED, APPLIED]);
    assert_eq!(payments(bench).await, 4);
}

pub async fn fifty_concurrent_commits_of_one_event_apply_it_once(bench: &impl Bench) {
    let commits = (0..50).map(|_| {
        let ledger = bench.ledger().clone();
        tokio::spawn(async move { ledger.commit(&Payments, &[event("a")]).await.unwrap() })
    });
    let mut applied = 0;
    for commit in commits.collect::<Vec<_>>() {
        match commit.await.unwrap()[..] {
            [APPLIED] => applied += 1,
            [DUPLICATE] => {}
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!((applied, payments(bench).await), (1, 1));
}

pub async fn two_batches_over_the_same_orders_in_any_order_do_not_deadlock(bench: &impl Bench) {
    for round in 0..5 {
        let of = |side, n| about_order(event(&format!("{side}-{round}-{n}")), &format!("o-{n}"));
        let forth: Vec<_> = (0..200).map(|n| of("forth", n)).collect();
        let back: Vec<_> = (0..200).rev().map(|n| of("back", n)).collect();
        tokio::join!(commit(bench, &forth), commit(bench, &back));
    }
    let applied = bench.applied_events().await;
    assert_eq!(applied, 5 * (200 + 200));
    assert_eq!(payments(bench).await, applied);
}

pub async fn two_batches_of_the_same_events_in_any_order_do_not_deadlock(bench: &impl Bench) {
    for round in 0..5 {
        let of = |n| event(&format!("{round}-{n}"));
        let forth: Vec<_> = (0..200).map(of).collect();
        let back: Vec<_> = (0..200).rev().map(of).collect();
        tokio::join!(commit(bench, &forth), commit(bench, &back));
    }
    assert_eq!(payments(bench).await, 5 * 200);
}

pub async fn an_older_version_never_overwrites_a_newer_order_but_is_counted(bench: &impl Bench) {
    let at = |id: &str, status: &str, version: i64, received: i64| {
        let mut candidate = about_order(event(id), "o");
        candidate.effect.status = status.into();
        candidate.effect.version = UnixMicros(version);
        candidate.received_at = UnixMicros(received);
        candidate
    };
    let expected = [
        (at("a", "first", 10, 10), "first"),
        (at("b", "newer", 20, 10), "newer"),
        (at("c", "older", 15, 99), "newer"),
        (at("d", "same version, received earlier", 20, 5), "newer"),
        (
            at("e", "same version, received later", 20, 11),
            "same version, received later",
        ),
    ];
    for (candidate, status) in &expected {
        commit(bench, std::slice::from_ref(candidate)).await;
        assert_eq!(&bench.order().await.0, status);
    }
    let (_, applied_events, amount_total) = bench.order().await;
    assert_eq!((applied_events, amount_total), (5, 500));
}

pub async fn the_witness_of_an_order_stops_instead_of_refusing_events(bench: &impl Bench) {
    for id in ["a", "b", "c"] {
        let mut candidate = about_order(event(id), "o");
        candidate.effect.amount = i64::MAX / 2;
        assert_eq!(commit(bench, &[candidate]).await, [APPLIED]);
    }
    let (_, _, total) = bench.order().await;
    assert_eq!(total, i64::MAX);
}

pub async fn payload_is_kept_byte_for_byte(bench: &impl Bench) {
    let bodies: [&'static [u8]; 4] = [b"", b"\0", b"\xff\xfe\0{\"a\":1}", b" { }\r\n"];
    for (number, body) in bodies.into_iter().enumerate() {
        let id = format!("body-{number}");
        commit(bench, &[event_with_body(&id, body)]).await;
        assert_eq!(bench.payload(&id).await, body);
    }
}

pub async fn a_batch_may_be_empty(bench: &impl Bench) {
    assert_eq!(commit(bench, &[]).await, []);
    assert_eq!(bench.ledger().archive(&[]).await, Ok(()));
}

async fn archive(bench: &impl Bench, letter: ledger::DeadLetter) {
    bench.ledger().archive(&[letter]).await.unwrap();
}

async fn state(bench: &impl Bench) -> String {
    bench.letter().await.state
}

pub async fn a_letter_is_reopened_by_more_replays_only(bench: &impl Bench) {
    let dead = event("a");
    archive(bench, letter(&dead, 0)).await;
    assert_eq!(state(bench).await, "dead");
    bench.set_state("a", "replayed").await;
    archive(bench, letter(&dead, 0)).await;
    assert_eq!(state(bench).await, "replayed");
    archive(bench, letter(&dead, 1)).await;
    assert_eq!(state(bench).await, "dead");
    archive(bench, letter(&dead, 0)).await;
    let error = bench.letter().await.error;
    assert_eq!(error, "failed after 1 replays");
}

pub async fn a_letter_whose_event_was_applied_is_superseded(bench: &impl Bench) {
    let applied = event("a");
    commit(bench, std::slice::from_ref(&applied)).await;
    archive(bench, letter(&applied, 0)).await;
    assert_eq!(state(bench).await, "superseded");
}

pub async fn a_letter_with_another_body_than_the_applied_one_stays_dead(bench: &impl Bench) {
    commit(bench, &[event_with_body("a", "first")]).await;
    archive(bench, letter(&event_with_body("a", "second"), 0)).await;
    assert_eq!(state(bench).await, "dead");
}

pub async fn a_letter_that_comes_twice_in_a_batch_is_filed_once(bench: &impl Bench) {
    let (dead, other) = (event("a"), event("b"));
    let letters = [
        letter(&dead, 0),
        letter(&other, 0),
        letter(&dead, 2),
        letter(&dead, 1),
    ];
    bench.ledger().archive(&letters).await.unwrap();
    assert_eq!(bench.rows("dead_letters").await, 2);
    assert_eq!(bench.letter().await.replays, 2);
}

/// Of databases alone: the simulation keeps letters and does not fold them.
pub async fn copies_of_a_captured_request_are_one_letter_with_a_count(bench: &impl Sql) {
    let captured = DeadLetter {
        reason: Reason::ReplayedSignature.as_str().to_owned(),
        ..letter(&event("a"), 0)
    };
    let (two, one) = (vec![captured.clone(); 2], vec![captured.clone()]);
    Sql::ledger(bench).archive(&two).await.unwrap();
    Sql::ledger(bench).archive(&one).await.unwrap();
    assert_eq!(bench.number("SELECT count(*) FROM dead_letters").await, 1);
    assert_eq!(bench.number("SELECT copies FROM dead_letters").await, 3);
    // Taken out and dead again: the count begins anew.
    let again = DeadLetter {
        replays: 1,
        ..captured
    };
    archive(bench, again).await;
    assert_eq!(bench.number("SELECT copies FROM dead_letters").await, 1);
}

pub async fn no_letter_is_refused_for_what_is_in_it(bench: &impl Bench) {
    archive(bench, foreign(b"\0\xff")).await;
    assert_eq!(state(bench).await, "dead");
    assert_eq!(bench.letter().await.payload, b"\0\xff");
}

pub async fn an_event_is_looked_up(bench: &impl Bench) {
    let (applied, dead, unknown) = (event("applied"), event("dead"), event("unknown"));
    commit(bench, std::slice::from_ref(&applied)).await;
    archive(bench, letter(&dead, 0)).await;
    // Applied after it had died once: applied is what counts.
    archive(bench, letter(&event_with_body("applied", "other"), 0)).await;
    let ledger = bench.ledger();
    let look_up = async |it: &Candidate<Deed>| ledger.look_up(&it.pipeline, it.key).await.unwrap();

    let since = std::time::SystemTime::now();
    let at_most = UnixMicros::from(since).since(RECEIVED).as_micros() as i64;
    match look_up(&applied).await {
        Some(Found::Applied { age_micros }) => assert!((0..=at_most).contains(&age_micros)),
        other => panic!("{other:?}"),
    }
    let expected = Found::Dead {
        reason: "schema".into(),
        error: "failed after 0 replays".into(),
    };
    assert_eq!(look_up(&dead).await, Some(expected));
    assert_eq!(look_up(&unknown).await, None);
    bench.set_state("dead", "discarded").await;
    assert_eq!(look_up(&dead).await, None);
    assert_eq!(ledger.ping().await, Ok(()));
}

async fn starts(bench: &impl Bench, suspects: &[&Candidate<Deed>]) -> Vec<u32> {
    let keys: Vec<_> = suspects.iter().map(|suspect| suspect.key).collect();
    bench.ledger().suspect_starts(&keys).await.unwrap()
}

pub async fn a_suspects_starts_are_kept_until_they_are_cleared(bench: &impl Bench) {
    let (a, b, c) = (event("a"), event("b"), event("c"));
    let ledger = bench.ledger();
    ledger.start_suspect(a.key, 1).await.unwrap();
    ledger.start_suspect(a.key, 2).await.unwrap();
    ledger.start_suspect(b.key, 1).await.unwrap();
    assert_eq!(starts(bench, &[&b, &c, &a, &b]).await, [1, 0, 2, 1]);
    ledger.clear_suspects(&[a.key, c.key]).await.unwrap();
    assert_eq!(starts(bench, &[&a, &b]).await, [0, 1]);
    ledger.clear_suspects(&[]).await.unwrap();
    assert_eq!(starts(bench, &[]).await, [0; 0]);
    assert_eq!(bench.rows("suspects").await, 1);
}

pub async fn a_start_that_is_written_down_twice_counts_once(bench: &impl Bench) {
    let suspect = event("a");
    for _ in 0..3 {
        bench.ledger().start_suspect(suspect.key, 1).await.unwrap();
    }
    assert_eq!(starts(bench, &[&suspect]).await, [1]);
}

pub async fn filing_a_letter_gives_its_event_a_new_trial(bench: &impl Bench) {
    let (condemned, other) = (event("a"), event("b"));
    for suspect in [&condemned, &other] {
        bench.ledger().start_suspect(suspect.key, 3).await.unwrap();
    }
    archive(bench, letter(&condemned, 0)).await;
    assert_eq!(starts(bench, &[&condemned, &other]).await, [0, 3]);
}

pub fn assert_class<T: std::fmt::Debug>(outcome: Result<T, Fault>, class: Class) {
    let fault = outcome.expect_err("it should have failed");
    assert_eq!(fault.class, class, "{fault}");
}
