//! From values to places on the paper.

use crate::figure::Panel;
use crate::ticks;

/// An axis: which values, and from where to where.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
    from: f64,
    to: f64,
    pub(crate) ticks: Vec<f64>,
}

/// Labels closer than this run into each other.
const TICKS_MOST: f64 = 4.0;

/// A threshold that is further above everything measured is named and not drawn to scale.
const FAR: f64 = 3.0;

impl Scale {
    /// The axis of time.
    pub(crate) fn of_time((low, high): (f64, f64), from: f64, to: f64) -> Self {
        Self {
            low,
            high,
            logarithmic: false,
            from,
            to,
            ticks: ticks::of_time(low, high, 10.0),
        }
    }

    /// The axis of a panel, bottom to top. It begins at zero unless something is below: half an axis makes
    /// small differences look large.
    pub(crate) fn of_values(panel: &Panel, bottom: f64, top: f64) -> Self {
        let (least, most) = panel.range().unwrap_or((0.0, 1.0));
        let near = |value: &f64| *value <= most * FAR;
        let thresholds = panel.thresholds.iter().map(|threshold| threshold.value);
        let most = thresholds.filter(near).fold(most, f64::max);
        let ticks = match panel.least_positive() {
            Some(positive) if panel.logarithmic => ticks::logarithmic(positive, most),
            Some(_) | None => {
                let low = least.min(0.0);
                let high = if most > low { most } else { low + 1.0 };
                ticks::linear(panel.unit, low, high, TICKS_MOST)
            }
        };
        Self {
            low: ticks[0],
            high: ticks[ticks.len() - 1],
            logarithmic: panel.logarithmic && panel.least_positive().is_some(),
            from: bottom,
            to: top,
            ticks,
        }
    }

    /// Where a value lies; what is beyond the axis lies at its end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Series, Unit};

    fn panel(most: f64) -> Panel {
        let series = Series::line("it", [(0.0, 0.0), (1.0, most)]);
        Panel::new("it", Unit::Seconds).series(series)
    }

    #[test]
    fn a_threshold_that_is_near_is_on_the_axis_and_one_that_is_far_is_not() {
        let near = Scale::of_values(&panel(0.03).threshold("limit", 0.04), 100.0, 0.0);
        assert!(near.holds(0.04));
        let far = Scale::of_values(&panel(0.03).threshold("limit", 1.0), 100.0, 0.0);
        assert!(!far.holds(1.0) && far.holds(0.03));
    }

    #[test]
    fn nothing_at_all_still_has_an_axis() {
        for empty in [
            Panel::new("it", Unit::Count),
            Panel::new("it", Unit::Count).logarithmic(),
            panel(0.0),
            panel(0.0).logarithmic(),
            panel(f64::NAN),
        ] {
            let scale = Scale::of_values(&empty, 100.0, 0.0);
            assert!(scale.place(0.0).is_finite());
        }
    }
}
