//! What the books of every ledger promise, whatever database is under them.

use crate::batch::{Deed, PaidTwice, RECEIVED, about_order, event, event_with_body, from_source};
use crate::bench::Sql;
use crate::conformance::commit;
use crate::letters::{foreign, letter};
use envelope::{BodyHash, Key, PipelineName, UnixMicros};
use ledger::{
    Account, Books, Candidate, DeadCount, DeadLetter, Happening, Kind, Ledger, Letter,
    LetterFilter, LetterId, LetterState, Mark, Window,
};
use std::collections::{BTreeSet, HashSet};
use std::time::SystemTime;

/// Every promise as a test of its own, on a bench made by `$bench`.
macro_rules! books_promises {
    ($bench:path) => {
        $crate::books::books_promises! { $bench:
            an_account_says_what_is_applied_and_what_is_dead,
            an_account_of_a_payload_that_was_changed_shows_it,
            more_accounts_than_one_statement_takes_keep_their_order,
            effects_are_counted_per_event,
            twenty_thousand_letters_are_listed_page_by_page_without_a_gap,
            letters_of_one_moment_are_listed_page_by_page_too,
            every_filter_finds_its_letters_and_no_others,
            a_letter_is_opened_with_all_that_was_filed,
            letters_are_opened_in_the_order_they_are_asked_for,
            a_letter_that_dies_again_is_one_letter_with_a_history,
            a_replay_whose_event_died_again_at_once_is_in_its_history,
            a_letter_is_marked_once_and_only_as_it_was_read,
            a_letter_whose_event_is_applied_later_is_not_dead_and_is_swept,
            a_sweep_goes_on_where_the_last_one_ended,
            a_conflicting_body_stays_dead_whatever_is_swept,
            the_gauge_counts_the_dead_by_pipeline_and_class,
            the_oldest_are_forgotten_first_and_no_more_than_asked,
            letters_are_forgotten_with_their_history,
            suspects_are_forgotten,
            what_was_applied_is_listed_by_time_without_a_gap,
            an_event_that_paid_twice_is_found_with_whoever_applied_it,
            an_event_that_two_pipelines_have_paid_for_is_not_doubled,
            a_payment_nobody_applied_is_found,
            events_that_say_the_same_under_other_ids_are_found,
            the_last_desired_number_stands_until_somebody_changes_it,
            of_many_who_change_the_desired_number_at_once_one_does,
        }
    };
    ($bench:path: $($promise:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $promise() {
            $crate::books::$promise(&$bench().await).await;
        }
    )*};
}
pub(crate) use books_promises;

/// After everything that is in these tests.
fn later() -> UnixMicros {
    UnixMicros(UnixMicros::from(SystemTime::now()).0 + 3_600_000_000)
}

const ALWAYS: Window = Window {
    from: UnixMicros(0),
    until: UnixMicros(i64::MAX),
};

fn pipelines() -> Vec<PipelineName> {
    vec!["payments".parse().unwrap(), "audit".parse().unwrap()]
}

fn id(candidate: &Candidate<Deed>) -> LetterId {
    LetterId {
        pipeline: candidate.pipeline.clone(),
        key: candidate.key,
    }
}

async fn file(bench: &impl Sql<Ledger: Books>, letters: &[DeadLetter]) {
    for letters in letters.chunks(500) {
        bench.ledger().archive(letters).await.unwrap();
    }
}

/// The letter of an event that died so many seconds after the first.
fn died_at(candidate: &Candidate<Deed>, second: i64) -> DeadLetter {
    DeadLetter {
        dead_at: UnixMicros(RECEIVED.0 + second * 1_000_000),
        ..letter(candidate, 0)
    }
}

async fn list(bench: &impl Sql<Ledger: Books>, filter: &LetterFilter) -> Vec<Letter> {
    bench.ledger().letters(filter, None, 1_000).await.unwrap()
}

async fn mark(
    bench: &impl Sql<Ledger: Books>,
    letters: &[(LetterId, u32)],
    mark: Mark,
    who: &str,
) -> u64 {
    let marked = bench.ledger().mark(letters, mark, who, RECEIVED).await;
    marked.unwrap()
}

async fn history(
    bench: &impl Sql<Ledger: Books>,
    id: &LetterId,
) -> Vec<(Happening, u32, Option<String>, Option<String>)> {
    let letter = bench.ledger().letter(id).await.unwrap().unwrap();
    let entries = letter.history.into_iter();
    entries
        .map(|entry| (entry.what, entry.replays, entry.who, entry.reason))
        .collect()
}

pub async fn an_account_says_what_is_applied_and_what_is_dead(bench: &impl Sql<Ledger: Books>) {
    let (applied, dead, both, neither) = (event("a"), event("d"), event("b"), event("n"));
    commit(bench, &[applied.clone(), both.clone()]).await;
    let conflicting = event_with_body("b", "another body");
    file(bench, &[letter(&dead, 3), letter(&conflicting, 0)]).await;
    let keys = [neither.key, applied.key, dead.key, both.key, applied.key];
    let accounts = bench.ledger().accounts(&keys).await.unwrap();

    assert_eq!(accounts[0], Account::default());
    let row = accounts[1].applied.unwrap();
    assert_eq!(row.body_sha256, applied.body_sha256);
    assert_eq!(row.payload_sha256, applied.body_sha256);
    assert_eq!(row.received_at, RECEIVED);
    assert!(row.processed_at > RECEIVED && row.processed_at < later());
    assert_eq!(accounts[1].letter, None);
    assert_eq!(accounts[2].applied, None);
    let standing = accounts[2].letter.clone().unwrap();
    assert_eq!(standing.state, LetterState::Dead);
    assert_eq!((standing.replays, standing.reason.as_str()), (3, "schema"));
    assert_eq!(standing.body_sha256, dead.body_sha256);
    let letter = accounts[3].letter.as_ref().unwrap();
    assert_eq!(accounts[3].applied.unwrap().body_sha256, both.body_sha256);
    assert_eq!(letter.body_sha256, conflicting.body_sha256);
    assert_eq!(accounts[4], accounts[1]);
    assert_eq!(bench.ledger().accounts(&[]).await.unwrap(), []);
}

pub async fn an_account_of_a_payload_that_was_changed_shows_it(bench: &impl Sql<Ledger: Books>) {
    let applied = event("a");
    commit(bench, std::slice::from_ref(&applied)).await;
    let changed = bench.number(
        "UPDATE processed_webhooks SET payload = (SELECT body_sha256 FROM processed_webhooks LIMIT 1) \
         RETURNING 1",
    );
    assert_eq!(changed.await, 1);
    let accounts = bench.ledger().accounts(&[applied.key]).await.unwrap();
    let row = accounts[0].applied.unwrap();
    assert_eq!(row.body_sha256, applied.body_sha256);
    let lies_there = BodyHash::of(applied.body_sha256.as_bytes());
    assert_eq!(row.payload_sha256, lies_there);
}

pub async fn more_accounts_than_one_statement_takes_keep_their_order(
    bench: &impl Sql<Ledger: Books>,
) {
    let applied: Vec<_> = (0..2_500)
        .step_by(7)
        .map(|n| event(&n.to_string()))
        .collect();
    for batch in applied.chunks(256) {
        commit(bench, batch).await;
    }
    let all: Vec<_> = (0..2_500).map(|n| event(&n.to_string())).collect();
    let keys: Vec<_> = all.iter().map(|event| event.key).collect();
    let accounts = bench.ledger().accounts(&keys).await.unwrap();
    let traces = bench.ledger().traces(&keys).await.unwrap();
    assert_eq!((accounts.len(), traces.len()), (2_500, 2_500));
    for (n, (account, trace)) in accounts.iter().zip(&traces).enumerate() {
        let body = account.applied.map(|row| row.body_sha256);
        assert_eq!(body, (n % 7 == 0).then_some(all[n].body_sha256), "{n}");
        assert_eq!(trace.is_some(), n % 7 == 0, "{n}");
    }
}

pub async fn effects_are_counted_per_event(bench: &impl Sql<Ledger: Books>) {
    let (once, twice, never) = (event("once"), event("twice"), event("never"));
    let elsewhere = from_source("payments", "other", "once", "{}");
    commit(bench, &[once.clone(), elsewhere]).await;
    let paid = bench
        .ledger()
        .commit(&PaidTwice, std::slice::from_ref(&twice));
    paid.await.unwrap();
    let names = [&twice, &never, &once].map(|it| (it.source.clone(), it.event_id.clone()));
    assert_eq!(bench.ledger().effects(&names).await.unwrap(), [2, 0, 1]);
    let payments = bench.ledger().payments_of(&names).await.unwrap();
    let counts: Vec<_> = payments.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 0, 1]);
    assert_eq!(payments[2][0].order_id, "order-of-once");
    assert_eq!(
        (payments[2][0].amount, payments[2][0].status.as_str()),
        (100, "paid")
    );
}

/// Of two pipelines, three reasons, and a hundred moments: many letters share one.
fn many() -> Vec<DeadLetter> {
    let of = |n: i64| {
        let pipeline = ["payments", "audit"][n as usize % 2];
        let candidate = from_source(pipeline, "shop", &format!("e-{n}"), format!("body {n}"));
        DeadLetter {
            reason: ["schema", "not_json", "crash_loop"][n as usize % 3].into(),
            error: format!("failed At {}", n % 10),
            ..died_at(&candidate, n % 100)
        }
    };
    (0..20_000).map(of).collect()
}

/// Every page of a list, checked for its order.
async fn pages(bench: &impl Sql<Ledger: Books>, filter: &LetterFilter, limit: u32) -> Vec<Letter> {
    let mut all: Vec<Letter> = Vec::new();
    loop {
        let after = all.last().map(Letter::cursor);
        let page = bench.ledger().letters(filter, after.as_ref(), limit).await;
        let page = page.unwrap();
        let ended = page.len() < limit as usize;
        all.extend(page);
        if ended {
            break;
        }
    }
    let order = |letter: &Letter| (letter.dead_at, letter.id.clone());
    assert!(all.is_sorted_by(|a, b| order(a) > order(b)));
    all
}

pub async fn twenty_thousand_letters_are_listed_page_by_page_without_a_gap(
    bench: &impl Sql<Ledger: Books>,
) {
    let filed = many();
    file(bench, &filed).await;
    let all = LetterFilter::default();
    let listed = pages(bench, &all, 700).await;
    let keys: HashSet<Key> = listed.iter().map(|letter| letter.id.key).collect();
    assert_eq!((listed.len(), keys.len()), (20_000, 20_000));
    assert_eq!(bench.ledger().count_letters(&all).await, Ok(20_000));

    let some = LetterFilter {
        pipeline: Some("audit".parse().unwrap()),
        reason: Some("not_json".into()),
        since: Some(UnixMicros(RECEIVED.0 + 10_000_000)),
        until: Some(UnixMicros(RECEIVED.0 + 20_000_000)),
        text: Some("fAILED aT 5".into()),
        ..LetterFilter::default()
    };
    let fits = |letter: &&DeadLetter| {
        let second = (letter.dead_at.0 - RECEIVED.0) / 1_000_000;
        letter.pipeline.as_str() == "audit"
            && letter.reason == "not_json"
            && (10..20).contains(&second)
            && letter.error.ends_with('5')
    };
    let expected: HashSet<Key> = filed.iter().filter(fits).map(|letter| letter.key).collect();
    let listed = pages(bench, &some, 9).await;
    let keys: HashSet<Key> = listed.iter().map(|letter| letter.id.key).collect();
    assert!(expected.len() > 20, "{}", expected.len());
    assert_eq!(keys, expected);
    let count = bench.ledger().count_letters(&some).await;
    assert_eq!(count, Ok(expected.len() as u64));
}

pub async fn letters_of_one_moment_are_listed_page_by_page_too(bench: &impl Sql<Ledger: Books>) {
    let of = |n: i32| letter(&event(&n.to_string()), 0);
    file(bench, &(0..500).map(of).collect::<Vec<_>>()).await;
    let listed = pages(bench, &LetterFilter::default(), 7).await;
    let keys: HashSet<Key> = listed.iter().map(|letter| letter.id.key).collect();
    assert_eq!((listed.len(), keys.len()), (500, 500));
}

pub async fn every_filter_finds_its_letters_and_no_others(bench: &impl Sql<Ledger: Books>) {
    let a = died_at(&from_source("payments", "shop", "a", "a"), 1);
    let b = DeadLetter {
        class: "passing".into(),
        reason: "retries_exhausted".into(),
        error: "100% of _it\\".into(),
        ..died_at(&from_source("audit", "other", "b", "b"), 2)
    };
    let nobodys = DeadLetter {
        dead_at: UnixMicros(RECEIVED.0 + 3_000_000),
        ..foreign(b"nobody's")
    };
    file(bench, &[a.clone(), b.clone(), nobodys.clone()]).await;
    let discarded = LetterId {
        pipeline: nobodys.pipeline.clone(),
        key: nobodys.key,
    };
    let ledger = bench.ledger();
    let marked = mark(bench, &[(discarded, 0)], Mark::Discarded, "ada").await;
    assert_eq!(marked, 1);

    let any = LetterFilter {
        state: None,
        ..LetterFilter::default()
    };
    let at = |second: i64| Some(UnixMicros(RECEIVED.0 + second * 1_000_000));
    let (a, b, nobodys) = (a.key, b.key, nobodys.key);
    let cases = [
        (any.clone(), vec![nobodys, b, a]),
        (LetterFilter::default(), vec![b, a]),
        (
            LetterFilter {
                state: Some(LetterState::Discarded),
                ..any.clone()
            },
            vec![nobodys],
        ),
        (
            LetterFilter {
                state: Some(LetterState::Replayed),
                ..any.clone()
            },
            vec![],
        ),
        (
            LetterFilter {
                source: Some("shop".parse().unwrap()),
                ..any.clone()
            },
            vec![a],
        ),
        (
            LetterFilter {
                event_id: Some("b".parse().unwrap()),
                ..any.clone()
            },
            vec![b],
        ),
        (
            LetterFilter {
                pipeline: Some("payments".parse().unwrap()),
                ..any.clone()
            },
            vec![nobodys, a],
        ),
        (
            LetterFilter {
                reason: Some("foreign".into()),
                ..any.clone()
            },
            vec![nobodys],
        ),
        (
            LetterFilter {
                class: Some("passing".into()),
                ..any.clone()
            },
            vec![b],
        ),
        (
            LetterFilter {
                since: at(2),
                ..any.clone()
            },
            vec![nobodys, b],
        ),
        (
            LetterFilter {
                until: at(2),
                ..any.clone()
            },
            vec![a],
        ),
        (
            LetterFilter {
                text: Some("AFTER 0".into()),
                ..any.clone()
            },
            vec![a],
        ),
        (
            LetterFilter {
                text: Some("% of _IT\\".into()),
                ..any.clone()
            },
            vec![b],
        ),
        (
            LetterFilter {
                text: Some("_".into()),
                ..any.clone()
            },
            vec![b],
        ),
        (
            LetterFilter {
                text: Some("' OR true --".into()),
                ..any.clone()
            },
            vec![],
        ),
    ];
    for (filter, expected) in cases {
        let keys: Vec<_> = list(bench, &filter)
            .await
            .into_iter()
            .map(|it| it.id.key)
            .collect();
        assert_eq!(keys, expected, "{filter:?}");
        let count = ledger.count_letters(&filter).await;
        assert_eq!(count, Ok(expected.len() as u64), "{filter:?}");
    }
}

pub async fn a_letter_is_opened_with_all_that_was_filed(bench: &impl Sql<Ledger: Books>) {
    let (ours, nobodys) = (letter(&event("a"), 2), foreign(b"\0\xff\xfe"));
    file(bench, &[ours.clone(), nobodys.clone()]).await;
    for filed in [ours, nobodys] {
        let id = LetterId {
            pipeline: filed.pipeline.clone(),
            key: filed.key,
        };
        let opened = bench.ledger().letter(&id).await.unwrap().unwrap();
        assert_eq!(opened.payload, filed.payload);
        assert_eq!(opened.headers, filed.headers);
        assert_eq!(opened.letter.id, id);
        assert_eq!(opened.letter.replays, filed.replays);
        assert_eq!(opened.letter.copies, 1);
        assert_eq!(opened.letter.event_id, filed.event_id);
        assert_eq!(opened.letter.source, filed.source);
        assert_eq!(opened.letter.reason, filed.reason);
        assert_eq!(opened.letter.class, filed.class);
        assert_eq!(opened.letter.attempts, filed.attempts);
        assert_eq!(opened.letter.payload_bytes, filed.payload.len() as u64);
        assert_eq!(opened.letter.state, LetterState::Dead);
        let died = (Happening::Died, filed.replays, None, Some(filed.reason));
        assert_eq!(history(bench, &id).await, [died]);
    }
}

pub async fn letters_are_opened_in_the_order_they_are_asked_for(bench: &impl Sql<Ledger: Books>) {
    let events: Vec<_> = (0..250).map(|n| event(&n.to_string())).collect();
    let filed: Vec<_> = events[1..].iter().map(|event| letter(event, 0)).collect();
    file(bench, &filed).await;
    let ids: Vec<_> = events.iter().rev().map(id).collect();
    let opened = bench.ledger().full_letters(&ids).await.unwrap();
    let opened: Vec<_> = opened.into_iter().map(|full| full.letter.id).collect();
    assert_eq!(opened, ids[..249]);
    assert_eq!(bench.ledger().letter(&ids[249]).await, Ok(None));
}

pub async fn a_letter_that_dies_again_is_one_letter_with_a_history(
    bench: &impl Sql<Ledger: Books>,
) {
    let dead = event("a");
    let id = id(&dead);
    file(bench, &[letter(&dead, 0)]).await;
    file(bench, &[letter(&dead, 0)]).await;
    let replayed = mark(bench, &[(id.clone(), 0)], Mark::Replayed, "ada").await;
    assert_eq!(replayed, 1);
    assert_eq!(list(bench, &LetterFilter::default()).await, []);
    let again = DeadLetter {
        reason: "crash_loop".into(),
        ..letter(&dead, 1)
    };
    file(bench, std::slice::from_ref(&again)).await;
    file(bench, &[letter(&dead, 0), again]).await;
    let discarded = mark(bench, &[(id.clone(), 1)], Mark::Discarded, "bo").await;
    assert_eq!(discarded, 1);

    let who = |name: &str| Some(name.to_owned());
    let expected = [
        (Happening::Died, 0, None, who("schema")),
        (Happening::Replayed, 0, who("ada"), None),
        (Happening::Died, 1, None, who("crash_loop")),
        (Happening::Discarded, 1, who("bo"), None),
    ];
    assert_eq!(history(bench, &id).await, expected);
    assert_eq!(bench.number("SELECT count(*) FROM dead_letters").await, 1);
}

/// Publish, confirm, mark: in between a worker may have failed it, and its letter may be filed.
pub async fn a_replay_whose_event_died_again_at_once_is_in_its_history(
    bench: &impl Sql<Ledger: Books>,
) {
    let dead = event("a");
    let id = id(&dead);
    file(bench, &[letter(&dead, 0)]).await;
    file(bench, &[letter(&dead, 1)]).await;
    let replayed = mark(bench, &[(id.clone(), 0)], Mark::Replayed, "ada").await;
    assert_eq!(replayed, 0);
    let discarded = mark(bench, &[(id.clone(), 0)], Mark::Discarded, "bo").await;
    assert_eq!(discarded, 0);
    assert_eq!(list(bench, &LetterFilter::default()).await.len(), 1);
    let what: Vec<_> = history(bench, &id)
        .await
        .into_iter()
        .map(|it| (it.0, it.1))
        .collect();
    let (died, replayed) = (Happening::Died, Happening::Replayed);
    assert_eq!(what, [(died, 0), (replayed, 0), (died, 1)]);
}

pub async fn a_letter_is_marked_once_and_only_as_it_was_read(bench: &impl Sql<Ledger: Books>) {
    let events: Vec<_> = (0..1_200).map(|n| event(&n.to_string())).collect();
    let filed: Vec<_> = events.iter().map(|event| letter(event, 2)).collect();
    file(bench, &filed).await;
    let ledger = bench.ledger();
    let as_read = |replays| {
        events
            .iter()
            .map(|event| (id(event), replays))
            .collect::<Vec<_>>()
    };
    for mark in [Mark::Replayed, Mark::Discarded] {
        for replays in [1, 3] {
            let marked = ledger.mark(&as_read(replays), mark, "ada", RECEIVED).await;
            assert_eq!(marked, Ok(0), "{mark:?} {replays}");
        }
    }
    let twice: Vec<_> = [as_read(2), as_read(2)].concat();
    let (forth, back) = (twice.clone(), twice.into_iter().rev().collect::<Vec<_>>());
    let (forth, back) = tokio::join!(
        ledger.mark(&forth, Mark::Discarded, "ada", RECEIVED),
        ledger.mark(&back, Mark::Discarded, "bo", RECEIVED),
    );
    assert_eq!(forth.unwrap() + back.unwrap(), 1_200);
    let discarded = "SELECT count(*) FROM letter_history WHERE what = 'discarded'";
    assert_eq!(bench.number(discarded).await, 1_200);
    assert_eq!(ledger.count_letters(&LetterFilter::default()).await, Ok(0));
}

pub async fn a_letter_whose_event_is_applied_later_is_not_dead_and_is_swept(
    bench: &impl Sql<Ledger: Books>,
) {
    let (cured, ill) = (event("cured"), event("ill"));
    let (ledger, dead) = (bench.ledger(), LetterFilter::default());
    file(bench, &[letter(&cured, 0), letter(&ill, 0)]).await;
    assert_eq!(ledger.count_letters(&dead).await, Ok(2));
    commit(bench, std::slice::from_ref(&cured)).await;

    let listed: Vec<_> = list(bench, &dead)
        .await
        .into_iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(listed, [id(&ill)]);
    assert_eq!(ledger.count_letters(&dead).await, Ok(1));
    let opened = ledger.letter(&id(&cured)).await.unwrap().unwrap();
    assert_eq!(opened.letter.state, LetterState::Superseded);

    let swept = ledger.supersede(None, 10, RECEIVED).await.unwrap();
    assert_eq!((swept.superseded, swept.next), (1, None));
    let again = ledger.supersede(None, 10, RECEIVED).await.unwrap();
    assert_eq!(again.superseded, 0);
    let superseded = LetterFilter {
        state: Some(LetterState::Superseded),
        ..dead
    };
    let listed: Vec<_> = list(bench, &superseded)
        .await
        .into_iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(listed, [id(&cured)]);
    let last = history(bench, &id(&cured)).await.pop();
    assert_eq!(last, Some((Happening::Superseded, 0, None, None)));
}

pub async fn a_sweep_goes_on_where_the_last_one_ended(bench: &impl Sql<Ledger: Books>) {
    let events: Vec<_> = (0..50).map(|n| event(&n.to_string())).collect();
    let filed: Vec<_> = events
        .iter()
        .zip(0..)
        .map(|(event, n)| died_at(event, n % 3))
        .collect();
    file(bench, &filed).await;
    let cured: Vec<_> = events.iter().step_by(2).cloned().collect();
    commit(bench, &cured).await;
    let (mut superseded, mut after, mut sweeps) = (0, None, 0);
    loop {
        let swept = bench
            .ledger()
            .supersede(after.as_ref(), 7, RECEIVED)
            .await
            .unwrap();
        (superseded, sweeps) = (superseded + swept.superseded, sweeps + 1);
        after = swept.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((superseded, sweeps), (25, 8));
    let left = bench.ledger().count_letters(&LetterFilter::default()).await;
    assert_eq!(left, Ok(25));
}

pub async fn a_conflicting_body_stays_dead_whatever_is_swept(bench: &impl Sql<Ledger: Books>) {
    commit(bench, &[event_with_body("a", "first")]).await;
    file(bench, &[letter(&event_with_body("a", "second"), 0)]).await;
    let swept = bench.ledger().supersede(None, 10, RECEIVED).await.unwrap();
    assert_eq!(swept.superseded, 0);
    let listed = list(bench, &LetterFilter::default()).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state, LetterState::Dead);
}

pub async fn the_gauge_counts_the_dead_by_pipeline_and_class(bench: &impl Sql<Ledger: Books>) {
    let of = |pipeline, id: &str, class: &str| DeadLetter {
        class: class.into(),
        ..letter(&from_source(pipeline, "shop", id, "{}"), 0)
    };
    let letters = [
        of("payments", "a", "poison"),
        of("payments", "b", "poison"),
        of("payments", "c", "passing"),
        of("audit", "a", "poison"),
    ];
    file(bench, &letters).await;
    let discarded = [(id(&from_source("payments", "shop", "b", "{}")), 0)];
    let mark = bench
        .ledger()
        .mark(&discarded, Mark::Discarded, "ada", RECEIVED);
    assert_eq!(mark.await, Ok(1));
    let count = |pipeline: &str, class: &str| DeadCount {
        pipeline: pipeline.parse().unwrap(),
        class: class.into(),
        letters: 1,
    };
    let expected = [
        count("audit", "poison"),
        count("payments", "passing"),
        count("payments", "poison"),
    ];
    assert_eq!(bench.ledger().dead_by_class().await.unwrap(), expected);
}

pub async fn the_oldest_are_forgotten_first_and_no_more_than_asked(
    bench: &impl Sql<Ledger: Books>,
) {
    for n in 0..30 {
        commit(bench, &[event(&n.to_string())]).await;
    }
    let ledger = bench.ledger();
    let all = ledger.applied_between(ALWAYS, None, 100).await.unwrap();
    assert_eq!(all.len(), 30);
    let nothing = ledger
        .forget(Kind::Processed, all[0].processed_at, 100)
        .await;
    assert_eq!(nothing, Ok(0));
    assert_eq!(ledger.forget(Kind::Processed, later(), 10).await, Ok(10));
    // Several may share a moment: SQLite's clock has milliseconds.
    let mut left = ledger.applied_between(ALWAYS, None, 100).await.unwrap();
    let (forgotten_last, cut) = (all[9].processed_at, all[20].processed_at);
    assert_eq!(left.len(), 20);
    assert!(left.iter().all(|it| it.processed_at >= forgotten_last));
    let forgotten = ledger.forget(Kind::Processed, cut, 100).await;
    left.retain(|it| it.processed_at >= cut);
    assert_eq!(forgotten, Ok(20 - left.len() as u64));
    let still_there = ledger.applied_between(ALWAYS, None, 100).await;
    assert_eq!(still_there, Ok(left));
}

pub async fn letters_are_forgotten_with_their_history(bench: &impl Sql<Ledger: Books>) {
    let events: Vec<_> = (0..20).map(|n| event(&n.to_string())).collect();
    let filed: Vec<_> = events
        .iter()
        .zip(0..)
        .map(|(event, n)| died_at(event, n))
        .collect();
    file(bench, &filed).await;
    let replayed = [(id(&events[3]), 0), (id(&events[17]), 0)];
    let ledger = bench.ledger();
    let marked = ledger
        .mark(&replayed, Mark::Replayed, "ada", RECEIVED)
        .await;
    assert_eq!(marked, Ok(2));
    let cut = filed[10].dead_at;
    assert_eq!(ledger.forget(Kind::Letters, cut, 4).await, Ok(4));
    assert_eq!(ledger.letter(&id(&events[3])).await, Ok(None));
    assert!(ledger.letter(&id(&events[4])).await.unwrap().is_some());
    assert_eq!(
        bench.number("SELECT count(*) FROM letter_history").await,
        17
    );
    assert_eq!(ledger.forget(Kind::Letters, cut, 100).await, Ok(6));
    assert_eq!(ledger.forget(Kind::Letters, cut, 100).await, Ok(0));
    assert_eq!(bench.number("SELECT count(*) FROM dead_letters").await, 10);
    assert_eq!(
        bench.number("SELECT count(*) FROM letter_history").await,
        11
    );
    assert_eq!(history(bench, &id(&events[17])).await.len(), 2);
}

pub async fn suspects_are_forgotten(bench: &impl Sql<Ledger: Books>) {
    let (a, b) = (event("a"), event("b"));
    let ledger = bench.ledger();
    ledger.start_suspect(a.key, 1).await.unwrap();
    ledger.start_suspect(b.key, 1).await.unwrap();
    assert_eq!(ledger.forget(Kind::Suspects, RECEIVED, 10).await, Ok(0));
    assert_eq!(ledger.forget(Kind::Suspects, later(), 1).await, Ok(1));
    assert_eq!(ledger.forget(Kind::Suspects, later(), 10).await, Ok(1));
    assert_eq!(
        ledger.suspect_starts(&[a.key, b.key]).await.unwrap(),
        [0, 0]
    );
}

/// Whole batches share one moment, and the pages are smaller than they are.
pub async fn what_was_applied_is_listed_by_time_without_a_gap(bench: &impl Sql<Ledger: Books>) {
    let events: Vec<_> = (0..600).map(|n| event(&n.to_string())).collect();
    for batch in events.chunks(200) {
        commit(bench, batch).await;
    }
    let ledger = bench.ledger();
    let mut all = Vec::new();
    loop {
        let after = all.last().map(ledger::AppliedEvent::cursor);
        let page = ledger
            .applied_between(ALWAYS, after.as_ref(), 70)
            .await
            .unwrap();
        let ended = page.len() < 70;
        all.extend(page);
        if ended {
            break;
        }
    }
    assert!(all.is_sorted_by(|a, b| (a.processed_at, a.key) < (b.processed_at, b.key)));
    let keys: HashSet<Key> = all.iter().map(|event| event.key).collect();
    assert_eq!(keys, events.iter().map(|event| event.key).collect());
    let first = &all[0];
    let applied = events.iter().find(|event| event.key == first.key).unwrap();
    assert_eq!(first.event_id, applied.event_id);
    assert_eq!(first.body_sha256, applied.body_sha256);
    assert_eq!(first.received_at, RECEIVED);
    let before = Window {
        until: first.processed_at,
        ..ALWAYS
    };
    assert_eq!(ledger.applied_between(before, None, 10).await.unwrap(), []);
}

pub async fn an_event_that_paid_twice_is_found_with_whoever_applied_it(
    bench: &impl Sql<Ledger: Books>,
) {
    // More than a page of honest ones before and behind.
    let honest: Vec<_> = (0..6_000).map(|n| event(&format!("e-{n}"))).collect();
    for batch in honest.chunks(256) {
        commit(bench, batch).await;
    }
    let ledger = bench.ledger();
    assert_eq!(ledger.doubled_payments(&pipelines(), 10).await.unwrap(), []);
    let twice = [event("a-first"), event("e-3000-twice"), event("z-last")];
    ledger.commit(&PaidTwice, &twice).await.unwrap();

    let doubled = ledger.doubled_payments(&pipelines(), 10).await.unwrap();
    let ids: Vec<_> = doubled.iter().map(|it| it.event.1.to_string()).collect();
    assert_eq!(ids, ["a-first", "e-3000-twice", "z-last"]);
    assert_eq!(doubled[0].payments.len(), 2);
    let [applied] = &doubled[0].applied[..] else {
        panic!("{doubled:?}")
    };
    assert_eq!(applied.pipeline.as_str(), "payments");
    assert_eq!(
        (applied.attempt.number(), applied.received_at),
        (1, RECEIVED)
    );
    let limited = ledger.doubled_payments(&pipelines(), 2).await.unwrap();
    assert_eq!(limited, doubled[..2]);
}

pub async fn an_event_that_two_pipelines_have_paid_for_is_not_doubled(
    bench: &impl Sql<Ledger: Books>,
) {
    // More of them than are asked for, before the one that is.
    let in_pipeline = |pipeline, id: &str| from_source(pipeline, "shop", id, "{}");
    let ids: Vec<_> = (0..30).map(|n| format!("e-{n}")).collect();
    for pipeline in ["payments", "audit"] {
        let batch: Vec<_> = ids.iter().map(|id| in_pipeline(pipeline, id)).collect();
        commit(bench, &batch).await;
    }
    let ledger = bench.ledger();
    assert_eq!(ledger.doubled_payments(&pipelines(), 10).await.unwrap(), []);
    // Long ago: retention has forgotten its rows.
    for pipeline in ["payments", "audit"] {
        let which = format!("event_id = 'e-7' AND pipeline = '{pipeline}'");
        let forget = format!("DELETE FROM processed_webhooks WHERE {which} RETURNING 1");
        assert_eq!(bench.number(&forget).await, 1);
    }
    assert_eq!(ledger.doubled_payments(&pipelines(), 10).await.unwrap(), []);

    let twice = [in_pipeline("audit", "z")];
    ledger.commit(&PaidTwice, &twice).await.unwrap();
    let doubled = ledger.doubled_payments(&pipelines(), 10).await.unwrap();
    let ids: Vec<_> = doubled.iter().map(|it| it.event.1.as_str()).collect();
    assert_eq!(ids, ["z"]);
}

pub async fn a_payment_nobody_applied_is_found(bench: &impl Sql<Ledger: Books>) {
    let events = [
        event("a"),
        event("b"),
        from_source("audit", "shop", "c", "{}"),
    ];
    commit(bench, &events).await;
    let ledger = bench.ledger();
    let long_ago = UnixMicros(0);
    let found = ledger
        .payments_without_row(&pipelines(), long_ago, 10)
        .await;
    assert_eq!(found, Ok(vec![]));
    let deleted = "DELETE FROM processed_webhooks WHERE event_id = 'b' RETURNING 1";
    assert_eq!(bench.number(deleted).await, 1);
    let found = ledger
        .payments_without_row(&pipelines(), long_ago, 10)
        .await
        .unwrap();
    let ids: Vec<_> = found
        .iter()
        .map(|it| (it.event.1.as_str(), it.payments))
        .collect();
    assert_eq!(ids, [("b", 1)]);
    let found = ledger.payments_without_row(&pipelines(), later(), 10).await;
    assert_eq!(found, Ok(vec![]));
}

pub async fn events_that_say_the_same_under_other_ids_are_found(bench: &impl Sql<Ledger: Books>) {
    let about =
        |id: &str, body: &'static str, order: &str| about_order(event_with_body(id, body), order);
    commit(bench, &[about("a", "x", "o-1"), about("b", "y", "o-2")]).await;
    commit(bench, &[about("a-again", "x", "o-1")]).await;
    commit(
        bench,
        &[about("b-again", "y, again", "o-2"), about("c", "z", "o-3")],
    )
    .await;
    commit(bench, &[about("a-third", "x", "o-1")]).await;
    let found = bench.ledger().same_body_other_id(ALWAYS, 10).await.unwrap();
    let told = found.iter().map(|it| {
        let ids = it.events.iter().map(|event| event.event_id.as_str());
        (it.same_body, ids.collect::<BTreeSet<_>>())
    });
    // In no order: SQLite's clock has milliseconds, and several commits may share one.
    let expected = [
        (true, BTreeSet::from(["a", "a-again", "a-third"])),
        (false, BTreeSet::from(["b", "b-again"])),
    ];
    assert_eq!(told.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

pub async fn the_last_desired_number_stands_until_somebody_changes_it(
    bench: &impl Sql<Ledger: Books>,
) {
    let (ledger, pipelines) = (bench.ledger(), pipelines());
    let [payments, audit] = pipelines.as_slice() else {
        unreachable!("two")
    };
    assert_eq!(ledger.desired_workers(payments).await.unwrap(), None);
    let change = async |pipeline, from, workers| {
        let changed = ledger.change_desired_workers(pipeline, from, workers, RECEIVED);
        changed.await.unwrap()
    };
    let last = async |pipeline| ledger.desired_workers(pipeline).await.unwrap();
    assert!(change(payments, None, 3).await);
    let third = last(payments).await;
    assert_eq!(third.unwrap().workers, 3);
    assert!(change(payments, third, 50).await);
    assert!(!change(payments, third, 4).await, "somebody was first");
    assert!(!change(payments, None, 4).await, "somebody was first");
    assert_eq!(last(payments).await.unwrap().workers, 50);
    // The same number again is another change.
    let fifty = last(payments).await;
    assert!(change(payments, fifty, 50).await);
    assert_ne!(last(payments).await, fifty);
    assert_eq!(last(audit).await, None);
}

pub async fn of_many_who_change_the_desired_number_at_once_one_does(
    bench: &impl Sql<Ledger: Books>,
) {
    let pipeline: PipelineName = "payments".parse().unwrap();
    for round in 1..=5 {
        let from = bench.ledger().desired_workers(&pipeline).await.unwrap();
        let all = (0..8).map(|_| {
            let ledger = bench.ledger();
            ledger.change_desired_workers(&pipeline, from, round, RECEIVED)
        });
        let changed = futures_util::future::join_all(all).await;
        let changed = changed.into_iter().filter(|changed| *changed == Ok(true));
        assert_eq!(changed.count(), 1);
    }
    let last = bench.ledger().desired_workers(&pipeline).await.unwrap();
    assert_eq!(last.unwrap().workers, 5);
}
