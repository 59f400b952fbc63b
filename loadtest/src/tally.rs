//! What is counted while a run goes on.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Answered 200 or 202.
    Accepted { spooled: bool },
    /// Answered with something else.
    Refused(u16),
    /// A forged one, answered 403, as it has to be.
    Repelled,
    /// A forged one, accepted.
    LetIn,
    /// Sent, and no answer came in time.
    Unanswered,
    /// Never sent: no connection, or no turn before the end.
    Unsent,
}

/// Counts, and the latencies of what was accepted.
///
/// A request that got no answer is in the histogram with the time it waited in vain: left out, the worst would look
/// like the best.
#[derive(Debug)]
pub struct Tally {
    /// Requests that were due.
    pub offered: u64,
    /// Requests that were written to a connection.
    pub sent: u64,
    /// Copies among them.
    pub copies: u64,
    /// Answered 200.
    pub accepted: u64,
    /// Answered 202.
    pub spooled: u64,
    /// Answered otherwise, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Forged ones that were refused as they have to be.
    pub repelled: u64,
    /// Forged ones that were accepted.
    pub let_in: u64,
    /// No answer.
    pub unanswered: u64,
    /// Never sent.
    pub unsent: u64,
    /// The first reason there was for no answer.
    pub first_failure: Option<String>,
    /// From when a request was due until its answer was there.
    pub ack: Histogram<u64>,
    /// From when a request was due until it was written: what is the generator's own.
    pub lag: Histogram<u64>,
    /// What each second brought.
    pub seconds: Vec<Second>,
    this_second: Histogram<u64>,
    stage: Stage,
}

/// What a stage of the schedule has brought so far.
#[derive(Debug)]
pub struct Stage {
    /// Requests that were due in it.
    pub offered: u64,
    /// Answered 200 or 202.
    pub accepted: u64,
    /// Not answered so.
    pub failed: u64,
    /// As [`Tally::ack`].
    pub ack: Histogram<u64>,
}

/// One second of a run. Times are microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Due in it.
    pub offered: u64,
    /// Accepted in it.
    pub accepted: u64,
    /// Refused, unanswered or not sent in it.
    pub failed: u64,
    /// Of the answers in it: half were this quick.
    pub p50: u64,
    /// Nine in ten.
    pub p90: u64,
    /// Ninety-nine in a hundred.
    pub p99: u64,
    /// All.
    pub max: u64,
}

/// Two hours; nothing waits so long. Three digits are kept.
const LATENCY_MAX_MICROS: u64 = 7_200_000_000;

fn histogram(digits: u8) -> Histogram<u64> {
    let made = Histogram::new_with_bounds(1, LATENCY_MAX_MICROS, digits);
    made.expect("bounds and digits that hdrhistogram takes")
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            offered: 0,
            accepted: 0,
            failed: 0,
            ack: histogram(2),
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            offered: 0,
            sent: 0,
            copies: 0,
            accepted: 0,
            spooled: 0,
            refused: BTreeMap::new(),
            repelled: 0,
            let_in: 0,
            unanswered: 0,
            unsent: 0,
            first_failure: None,
            ack: histogram(3),
            lag: histogram(3),
            seconds: Vec::new(),
            this_second: histogram(2),
            stage: Stage::default(),
        }
    }
}

impl Tally {
    /// A request is due.
    pub fn offer(&mut self, due: Duration) {
        self.offered += 1;
        self.stage.offered += 1;
        self.second(due).offered += 1;
    }

    /// A request goes out.
    pub fn send(&mut self, due: Duration, now: Duration) {
        self.sent += 1;
        self.lag.saturating_record(micros(now.saturating_sub(due)));
    }

    /// A request has ended.
    pub fn end(&mut self, ending: Ending, due: Duration, now: Duration) {
        let latency = micros(now.saturating_sub(due));
        let counted = match ending {
            Ending::Accepted { spooled: false } => &mut self.accepted,
            Ending::Accepted { spooled: true } => &mut self.spooled,
            Ending::Refused(status) => self.refused.entry(status).or_default(),
            Ending::Repelled => &mut self.repelled,
            Ending::LetIn => &mut self.let_in,
            Ending::Unanswered => &mut self.unanswered,
            Ending::Unsent => &mut self.unsent,
        };
        *counted += 1;
        match ending {
            Ending::Accepted { .. } => {
                self.second(now).accepted += 1;
                self.stage.accepted += 1;
                self.record(latency);
            }
            Ending::Unanswered | Ending::Unsent => {
                self.second(now).failed += 1;
                self.stage.failed += 1;
                self.record(latency);
            }
            // How quickly something is refused says nothing about how quickly it is accepted.
            Ending::Refused(_) | Ending::LetIn => {
                self.second(now).failed += 1;
                self.stage.failed += 1;
            }
            Ending::Repelled => {}
        }
    }

    fn record(&mut self, latency: u64) {
        for histogram in [&mut self.ack, &mut self.this_second, &mut self.stage.ack] {
            histogram.saturating_record(latency);
        }
    }

    /// What the stage that ends here has brought; the next one begins.
    pub fn close_stage(&mut self) -> Stage {
        std::mem::take(&mut self.stage)
    }

    /// The second is over: its latencies are summed up.
    pub fn close_second(&mut self, now: Duration) {
        let quantile = |q| self.this_second.value_at_quantile(q);
        let (p50, p90, p99, max) = (
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            self.this_second.max(),
        );
        if !self.this_second.is_empty() {
            // A timer wakes us a little late, and never half a second.
            let ended = now.saturating_sub(Duration::from_millis(500));
            let second = self.second(ended);
            (second.p50, second.p90, second.p99, second.max) = (p50, p90, p99, max);
        }
        self.this_second.reset();
    }

    /// Everything that did not go as it should have.
    pub fn failed(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.let_in + self.unanswered + self.unsent
    }

    fn second(&mut self, at: Duration) -> &mut Second {
        let at = usize::try_from(at.as_secs()).unwrap_or(usize::MAX);
        if at >= self.seconds.len() {
            self.seconds.resize(at + 1, Second::default());
        }
        &mut self.seconds[at]
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(of: u64) -> Duration {
        Duration::from_millis(of)
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due() {
        let mut tally = Tally::default();
        // A door that stands still for a second: those due meanwhile waited for it, whenever they were sent.
        for number in 0..1_000 {
            tally.offer(millis(number));
            tally.send(millis(number), millis(1_000));
            tally.end(
                Ending::Accepted { spooled: false },
                millis(number),
                millis(1_001),
            );
        }
        let near = |value: u64, expected: u64| {
            assert!(value.abs_diff(expected) < expected / 100, "{value}")
        };
        near(tally.ack.value_at_quantile(0.5), 501_000);
        near(tally.ack.max(), 1_001_000);
        near(tally.lag.value_at_quantile(0.5), 500_000);
    }

    #[test]
    fn every_ending_is_counted_once_and_where_it_belongs() {
        let mut tally = Tally::default();
        let endings = [
            Ending::Accepted { spooled: false },
            Ending::Accepted { spooled: true },
            Ending::Refused(503),
            Ending::Refused(503),
            Ending::Repelled,
            Ending::LetIn,
            Ending::Unanswered,
            Ending::Unsent,
        ];
        for ending in endings {
            tally.offer(millis(10));
            tally.end(ending, millis(10), millis(1_500));
        }
        assert_eq!((tally.accepted, tally.spooled, tally.repelled), (1, 1, 1));
        assert_eq!((tally.unanswered, tally.unsent, tally.failed()), (1, 1, 5));
        assert_eq!(tally.refused, BTreeMap::from([(503, 2)]));
        assert_eq!(
            (
                tally.seconds[0].offered,
                tally.seconds[1].accepted,
                tally.seconds[1].failed
            ),
            (8, 2, 5)
        );
        // What waited in vain is among the latencies; what was refused at once is not.
        assert_eq!(tally.ack.len(), 4);
    }

    #[test]
    fn a_second_has_its_own_percentiles() {
        let mut tally = Tally::default();
        tally.end(Ending::Accepted { spooled: false }, millis(0), millis(900));
        tally.close_second(millis(1_003));
        tally.end(
            Ending::Accepted { spooled: false },
            millis(1_000),
            millis(1_002),
        );
        tally.close_second(millis(2_003));
        assert!(tally.seconds[0].max > 890_000 && tally.seconds[1].max < 2_100);
    }
}
