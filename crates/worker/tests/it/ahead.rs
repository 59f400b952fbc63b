//! While the ledger has one batch, the next is made ready, and the one before it is acked.

use crate::breaker::{Asked, Bench};
use Asked::{Claim, Commit};
use envelope::Key;
use ledger::{Answer, Claimed, Claims, Recall};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Grants every claim, and writes down when it was asked.
struct Granting(Arc<Mutex<Vec<Asked>>>);

impl Claims for Granting {
    fn claim<'a>(&'a self, _: &'a str, keys: &'a [Key]) -> Answer<'a, Vec<Claimed>> {
        let events = keys.len();
        self.0.lock().unwrap().push(Claim { events });
        Box::pin(async move { vec![Claimed::Granted; events] })
    }

    fn remember<'a>(&'a self, _: &'a [Key]) -> Answer<'a, ()> {
        Box::pin(async {})
    }

    fn release<'a>(&'a self, _: &'a str, _: &'a [Key]) -> Answer<'a, ()> {
        Box::pin(async {})
    }

    fn is_bypassed(&self) -> bool {
        false
    }

    fn bypassed_total(&self) -> u64 {
        0
    }
}

/// What was asked for, in order, when `events` events waited for a worker that takes four at a time and whose
/// ledger takes its time. That two commits at once were never asked for, the bench sees to.
async fn asked(events: usize) -> Vec<Asked> {
    let mut bench = Bench::new();
    bench.recall = Recall::over(Granting(bench.asked.clone()));
    bench.commit_takes = Duration::from_millis(20);
    bench.send(events).await;
    bench.start(4);
    bench.asked().await
}

fn commit(events: usize) -> Asked {
    Commit {
        events,
        answered: true,
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_batch_is_made_ready_while_the_ledger_has_this_one() {
    let asked = asked(12).await;
    let claimed = asked.iter().filter(|it| matches!(it, Claim { .. })).count();
    assert_eq!(claimed, asked.len() / 2, "{asked:?}");
    let ahead = [Claim { events: 4 }, commit(4), commit(4)];
    assert_eq!(asked[asked.len() - 3..], ahead, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_would_be_small_is_not_taken_before_its_time() {
    let asked = asked(7).await;
    let last = [Claim { events: 3 }, commit(3)];
    assert_eq!(asked[asked.len() - 2..], last, "{asked:?}");
    assert_eq!(asked[asked.len() - 3], commit(4), "{asked:?}");
}
