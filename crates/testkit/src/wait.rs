//! Waiting for a state with a deadline: tests never sleep and hope.

use std::time::{Duration, Instant};

/// Short against every deadline in our tests, long enough not to keep a core busy.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What a look may answer: a `bool` (there yet?) or an `Option` (what was found).
pub trait Answer {
    /// What is handed back once the answer is yes.
    type Found;
    /// `None` means: look again.
    fn found(self) -> Option<Self::Found>;
}

impl Answer for bool {
    type Found = ();
    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Answer for Option<T> {
    type Found = T;
    fn found(self) -> Option<T> {
        self
    }
}

/// Looks again and again until the answer is yes, and hands back what was found.
///
/// # Panics
/// When `deadline` has passed, naming `what` was waited for.
pub async fn wait_until<L, F>(
    what: &str,
    deadline: Duration,
    look: L,
) -> <F::Output as Answer>::Found
where
    L: FnMut() -> F,
    F: Future<Output: Answer>,
{
    match wait_within(deadline, look).await {
        Some(found) => found,
        None => panic!("waited {deadline:?} in vain until {what}"),
    }
}

/// Like [`wait_until`], for callers that have more to say about a missed deadline.
pub async fn wait_within<L, F>(
    deadline: Duration,
    mut look: L,
) -> Option<<F::Output as Answer>::Found>
where
    L: FnMut() -> F,
    F: Future<Output: Answer>,
{
    let started = Instant::now();
    loop {
        // A look that hangs (a frozen server) must not outlive the deadline either.
        let left = deadline.saturating_sub(started.elapsed());
        let answer = tokio::time::timeout(left, look()).await.ok()?;
        if let Some(found) = answer.found() {
            return Some(found);
        }
        if started.elapsed() >= deadline {
            return None;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
