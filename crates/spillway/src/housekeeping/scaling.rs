//! Follows a pipeline's backlog with the number of workers it should have. The last number is the ledger's, so
//! that control servers agree on it and a restart goes on from it.

use super::board::Board;
use envelope::{PipelineName, UnixMicros};
use ledger::{Books, Desired};
use prometheus::{IntGaugeVec, Opts, Registry};
use resilience::{Decision, Fault, Scaler, ScalingPolicy};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// Between two decisions.
const EVERY: Duration = Duration::from_secs(1);

/// The number in the ledger could not be read or changed: it stands.
const LEDGER_AWAY: &str = "ledger_away";

/// The gauge of all pipelines. It has no sample until the ledger has said which number was the last: a zero
/// would be obeyed.
pub(super) fn gauge(registry: &Registry) -> prometheus::Result<IntGaugeVec> {
    let help = "Workers a pipeline should have, by its backlog; follow it with an autoscaler.";
    let gauge = IntGaugeVec::new(Opts::new("desired_workers", help), &["pipeline"])?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

/// One pipeline's number.
pub(super) struct Scaling<B> {
    pub(super) ledger: B,
    pub(super) pipeline: PipelineName,
    pub(super) policy: ScalingPolicy,
    pub(super) board: Board,
    pub(super) gauge: IntGaugeVec,
}

/// The number as it was last read, and its history as far as we have seen it.
struct Known {
    desired: Desired,
    scaler: Scaler,
}

impl<B: Books> Scaling<B> {
    /// Decides until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut known = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(EVERY) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.step(&mut known) => {}
            }
        }
    }

    async fn step(&self, known: &mut Option<Known>) {
        match self.decide(known).await {
            Ok((desired, decision)) => {
                let held = match decision {
                    Decision::Change(_) => None,
                    Decision::Hold(why) => Some(why.as_str()),
                };
                self.board.decided(&self.pipeline, Some(desired), held);
                let gauge = self.gauge.with_label_values(&[self.pipeline.as_str()]);
                gauge.set(desired.into());
            }
            Err(why) => {
                debug!(
                    "the desired number of workers of {} stands: {why}",
                    self.pipeline
                );
                self.board.decided(&self.pipeline, None, Some(LEDGER_AWAY));
            }
        }
    }

    async fn decide(&self, known: &mut Option<Known>) -> Result<(u32, Decision), Fault> {
        let last = match self.ledger.desired_workers(&self.pipeline).await? {
            Some(last) => last,
            None => self.first().await?,
        };
        let known = self.adopt(known, last);
        let sight = self.board.sight(&self.pipeline, Instant::now());
        let seen = sight.and_then(|sight| sight.seen);
        let decision = known.scaler.decide(seen, Instant::now());
        if let Decision::Change(workers) = decision {
            self.change(known.desired, workers).await?;
            // Ours or somebody else's: what stands now counts.
            if let Some(last) = self.ledger.desired_workers(&self.pipeline).await? {
                known.change_to(last);
            }
        }
        Ok((known.desired.workers, decision))
    }

    /// Nobody has said a number yet: it begins with the fewest.
    async fn first(&self) -> Result<Desired, Fault> {
        let (pipeline, min) = (&self.pipeline, self.policy.min);
        let now = UnixMicros::from(SystemTime::now());
        self.ledger
            .change_desired_workers(pipeline, None, min, now)
            .await?;
        let last = self.ledger.desired_workers(pipeline).await?;
        last.ok_or_else(|| Fault::ours("the desired number of workers is gone again".to_owned()))
    }

    async fn change(&self, from: Desired, workers: u32) -> Result<(), Fault> {
        let (pipeline, now) = (&self.pipeline, UnixMicros::from(SystemTime::now()));
        let changing = self
            .ledger
            .change_desired_workers(pipeline, Some(from), workers, now);
        if changing.await? {
            let before = from.workers;
            info!(%pipeline, "desired workers of {pipeline}: {workers}, before that {before}");
        }
        Ok(())
    }

    /// Takes over what stands in the ledger. Since when it stands is counted from when we first saw it, by our
    /// own clock: nobody's clock has to agree with anybody's, and a restart waits one cool-down more.
    fn adopt<'a>(&self, known: &'a mut Option<Known>, last: Desired) -> &'a mut Known {
        let known = known.get_or_insert_with(|| Known {
            desired: last,
            scaler: Scaler::new(self.policy, last.workers, Instant::now()),
        });
        if known.desired != last {
            known.change_to(last);
        }
        known
    }
}

impl Known {
    fn change_to(&mut self, desired: Desired) {
        self.desired = desired;
        self.scaler.changed(desired.workers, Instant::now());
    }
}
