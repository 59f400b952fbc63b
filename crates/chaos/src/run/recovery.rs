//! The wait until nothing is left of a fault, and what a person would have had to do otherwise.

use super::Run;
use crate::oracle;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::wait_within;
use tokio::time::sleep;

/// Reconnects wait ten seconds at most, and a session that went silent is noticed after twenty.
pub(super) const ACKS_AGAIN: Duration = Duration::from_secs(60);
/// Five retries take 31 s, a park one, a claim of a dead worker ten.
pub(super) const DRAINED: Duration = Duration::from_secs(120);
/// What even a busy machine applies in a second.
const SLOWEST: usize = 50;
/// Pools and sessions close what they do not need within this.
const AT_REST: Duration = Duration::from_secs(60);
/// Short against a drain, long against a question.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

impl Run {
    /// Waits until every program is there and every door accepts again.
    pub(super) async fn recover(&mut self) -> bool {
        for at in 0..self.site.members.len() {
            let mut member = self.site.members[at].lock().await;
            let found = member.found_dead().await;
            let unready = member.unready().await;
            drop(member);
            let found = found.unwrap_or_else(|error| Some(format!("{error:#}")));
            for trouble in [found, unready].into_iter().flatten() {
                self.intervene(trouble);
            }
        }
        let counts = self.counts();
        let again = wait_within(ACKS_AGAIN, async || {
            self.counts()
                .iter()
                .zip(&counts)
                .all(|(now, then)| now > then)
        });
        let again = again.await.is_some();
        if !again {
            let said = self.all_said().await;
            self.intervene(format!(
                "a door accepts nothing after {ACKS_AGAIN:?}\n{said}"
            ));
        }
        again
    }

    /// Waits until what had been accepted by now is applied.
    pub(super) async fn drain(&mut self) -> bool {
        let (mut left, numbers) = self.pending();
        let deadline = DRAINED + Duration::from_secs((left.len() / SLOWEST) as u64);
        let (books, started) = (self.site.books(), Instant::now());
        while !oracle::cross_off(&books, &mut left).await {
            self.footprints.look(&self.site);
            if started.elapsed() > deadline {
                let said = self.all_said().await;
                let some: Vec<_> = left.iter().take(5).cloned().collect();
                self.intervene(format!(
                    "{} accepted events are not applied after {deadline:?}, such as {some:?}\n{said}",
                    left.len()
                ));
                return false;
            }
            sleep(BETWEEN_LOOKS).await;
        }
        let mut account = self.load.account();
        for number in numbers {
            account.pending.remove(&number);
        }
        true
    }

    fn pending(&self) -> (BTreeSet<String>, BTreeSet<usize>) {
        let account = self.load.account();
        let ids = account.pending.iter().map(|number| account.id(*number));
        (ids.collect(), account.pending.clone())
    }

    pub(super) async fn come_to_rest(&mut self) {
        let started = Instant::now();
        loop {
            self.footprints.look(&self.site);
            if self.footprints.have_returned() || started.elapsed() > AT_REST {
                return;
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    fn counts(&self) -> Vec<u64> {
        let account = self.load.account();
        account.doors.iter().map(|door| door.count).collect()
    }

    pub(super) fn longest_gap(&self) -> Duration {
        let account = self.load.account();
        let gaps = account.doors.iter().map(|door| door.gap());
        gaps.max().unwrap_or_default()
    }

    async fn all_said(&self) -> String {
        let mut all = String::new();
        for member in &self.site.members {
            let member = member.lock().await;
            all += &format!("--- {} ---\n{}\n", member.name, member.said());
        }
        all
    }
}
