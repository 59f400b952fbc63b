//! Closes the seconds of a run, shows how it goes, and ends a ramp that does not hold.

use crate::ramp::{Ramp, Step};
use crate::run::Run;
use crate::watch::Samples;
use indicatif::{ProgressBar, ProgressStyle};
use plot::Unit;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Looks on once a second.
#[derive(Debug)]
pub struct Observer {
    bar: ProgressBar,
    samples: Samples,
    ramp: Option<Ramp>,
    steps: Vec<Step>,
    ready_before: Option<f64>,
    accepted_before: u64,
}

impl Observer {
    /// Of a run of this length. The bar is drawn on a terminal and nowhere else.
    pub fn new(length: Duration, samples: Samples, ramp: Option<Ramp>, is_quiet: bool) -> Self {
        let bar = if is_quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(length.as_secs())
        };
        let style = ProgressStyle::with_template("{elapsed:>4} {bar:24} {msg}");
        bar.set_style(style.expect("a template of ours"));
        Self {
            bar,
            samples,
            ramp,
            steps: Vec::new(),
            ready_before: None,
            accepted_before: 0,
        }
    }

    /// Until it is dropped.
    pub(crate) async fn look_on(&mut self, run: &Run) -> Infallible {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        second.tick().await;
        loop {
            second.tick().await;
            self.look(run);
        }
    }

    fn look(&mut self, run: &Run) {
        let now = run.now();
        run.tally.borrow_mut().close_second(now);
        self.show(run, now);
        let over = self.ramp.as_mut().and_then(|ramp| ramp.over(now));
        if let Some(rate) = over
            && !self.judge(run, rate)
        {
            run.stop();
        }
    }

    /// Whether the step that is over held.
    fn judge(&mut self, run: &Run, rate: f64) -> bool {
        let Some(ramp) = &self.ramp else { return true };
        let stage = run.tally.borrow_mut().close_stage();
        let ready = self.samples.latest().and_then(|sample| sample.backlog());
        let growth = ready.map(|ready| ready - self.ready_before.unwrap_or(0.0));
        self.ready_before = ready;
        let step = ramp.judge(rate, &stage, growth);
        let held = step.broken.is_none();
        self.steps.push(step);
        held
    }

    fn show(&mut self, run: &Run, now: Duration) {
        let tally = run.tally.borrow();
        let accepted = tally.accepted + tally.spooled;
        let rate = accepted - self.accepted_before;
        self.accepted_before = accepted;
        let last = usize::try_from(now.as_secs()).unwrap_or(usize::MAX);
        let second = tally
            .seconds
            .get(last.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        let mut message = format!(
            "{} offered, {} accepted, ack p99 {}",
            Unit::PerSecond.format(second.offered as f64),
            Unit::PerSecond.format(rate as f64),
            Unit::Seconds.format(second.p99 as f64 / 1e6)
        );
        if tally.failed() > 0 {
            message.push_str(&format!(", {} failed", tally.failed()));
        }
        if let Some(backlog) = self.samples.latest().and_then(|sample| sample.backlog()) {
            message.push_str(&format!(", queue {}", Unit::Count.format(backlog)));
        }
        self.bar.set_position(now.as_secs());
        self.bar.set_message(message);
    }

    /// What the steps of a ramp came to. The bar goes.
    pub(crate) fn finish(mut self, run: &Run) -> Vec<Step> {
        let now = run.now();
        run.tally.borrow_mut().close_second(now);
        // A run is over a moment before the second is in which its last step ends.
        let over = self
            .ramp
            .as_mut()
            .and_then(|ramp| ramp.over(now + Duration::from_secs(1)));
        if let Some(rate) = over
            && self.steps.last().is_none_or(|step| step.broken.is_none())
        {
            self.judge(run, rate);
        }
        self.bar.finish_and_clear();
        self.steps
    }
}
