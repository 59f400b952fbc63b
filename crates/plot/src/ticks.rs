//! Where an axis has its ticks: at numbers people like.

use crate::unit::Unit;

/// Steps of time: what divides a minute, an hour and a day evenly.
const TIME_STEPS: [f64; 21] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0,
    3_600.0, 7_200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0,
];

/// At most `most` ticks on an axis of time that begins at `from`.
pub(crate) fn of_time(from: f64, until: f64, most: f64) -> Vec<f64> {
    let wanted = (until - from) / most;
    let step = TIME_STEPS.into_iter().find(|step| *step >= wanted);
    // Beyond weeks: whole days.
    let step = step.unwrap_or_else(|| (wanted / 86_400.0).ceil() * 86_400.0);
    multiples(step, from, until)
}

/// A moment of the axis, as short as its ticks allow.
pub(crate) fn moment(seconds: f64, span: f64) -> String {
    // Tenths first: a tick at 60 s may be a hair below.
    let tenths = (seconds * 10.0).round();
    let whole = (tenths / 10.0).floor();
    let (hours, minutes, rest) = (
        (whole / 3_600.0).floor(),
        (whole / 60.0).floor() % 60.0,
        whole % 60.0,
    );
    if span >= 3_600.0 {
        format!("{hours}:{minutes:02}:{rest:02}")
    } else if span >= 120.0 {
        format!("{}:{rest:02}", hours * 60.0 + minutes)
    } else if tenths % 10.0 == 0.0 {
        format!("{whole} s")
    } else {
        format!("{:.1} s", tenths / 10.0)
    }
}

/// Ticks from a round number at or below `low` to one at or above `high`.
pub(crate) fn linear(unit: Unit, low: f64, high: f64, most: f64) -> Vec<f64> {
    let step = step(unit, (high - low) / most);
    let (first, last) = ((low / step).floor() * step, (high / step).ceil() * step);
    multiples(step, first, last)
}

/// The smallest likeable step that is not below `wanted`.
fn step(unit: Unit, wanted: f64) -> f64 {
    // Things come whole.
    let least = if unit == Unit::Count { 1.0 } else { 0.0 };
    let wanted = wanted.max(least).max(f64::MIN_POSITIVE);
    let (base, sizes) = unit.steps();
    let power = base.powf(wanted.log(base).floor());
    let fits = |size: &f64| size * power >= wanted * (1.0 - 1e-9);
    let found = sizes.iter().copied().find(fits);
    found.map_or(power * base, |size| size * power)
}

/// Powers of ten from `low` to `high`; with fewer than three of them also twice and five times each.
pub(crate) fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    let first = low.log10().floor() as i32;
    // An axis of one value has a length too.
    let last = (high.log10().ceil() as i32).max(first + 1);
    let sizes: &[f64] = if last - first < 3 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let all = (first..=last).flat_map(|power| {
        let power = 10_f64.powi(power);
        sizes.iter().map(move |size| size * power)
    });
    let all: Vec<f64> = all.collect();
    let below = all.iter().rposition(|tick| *tick <= low * (1.0 + 1e-9));
    let above = all.iter().position(|tick| *tick >= high * (1.0 - 1e-9));
    let begin = below.unwrap_or(0).min(all.len() - 2);
    let end = above.unwrap_or(all.len() - 1).max(begin + 1);
    all[begin..=end].to_vec()
}

fn multiples(step: f64, from: f64, until: f64) -> Vec<f64> {
    let (first, last) = (
        (from / step - 1e-9).ceil() as i64,
        (until / step + 1e-9).floor() as i64,
    );
    (first..=last).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_numbers_people_like() {
        let check = |unit, low, high, expected: &[&str]| {
            let ticks = linear(unit, low, high, 4.0);
            let texts: Vec<_> = ticks.iter().map(|tick| unit.format(*tick)).collect();
            assert_eq!(texts, expected);
        };
        check(Unit::Count, 0.0, 3.0, &["0", "1", "2", "3"]);
        check(
            Unit::PerSecond,
            0.0,
            4_990.0,
            &["0/s", "2k/s", "4k/s", "6k/s"],
        );
        check(
            Unit::Seconds,
            0.0,
            0.04,
            &["0 s", "10 ms", "20 ms", "30 ms", "40 ms"],
        );
        check(
            Unit::Bytes,
            0.0,
            60_000_000.0,
            &["0 B", "16 MiB", "32 MiB", "48 MiB", "64 MiB"],
        );
        check(Unit::Share, 0.0, 1.0, &["0 %", "50 %", "100 %"]);
    }

    #[test]
    fn moments_are_as_short_as_they_can_be() {
        let check = |until: f64, expected: &[&str]| {
            let ticks = of_time(0.0, until, 6.0);
            let texts: Vec<_> = ticks.iter().map(|tick| moment(*tick, until)).collect();
            assert_eq!(texts, expected);
        };
        check(1.0, &["0 s", "0.2 s", "0.4 s", "0.6 s", "0.8 s", "1 s"]);
        check(
            60.0,
            &["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s"],
        );
        check(300.0, &["0:00", "1:00", "2:00", "3:00", "4:00", "5:00"]);
        check(
            7_200.0,
            &["0:00:00", "0:30:00", "1:00:00", "1:30:00", "2:00:00"],
        );
    }

    proptest! {
        #[test]
        fn ticks_cover_the_values_and_are_few(low in 0.0..1e9_f64, width in 1e-6..1e9_f64) {
            let high = low + width;
            for unit in [Unit::Count, Unit::PerSecond, Unit::Seconds, Unit::Bytes, Unit::Share] {
                let ticks = linear(unit, low, high, 4.0);
                prop_assert!((1..=6).contains(&ticks.len()), "{unit:?}: {ticks:?}");
                let slack = high * 1e-9;
                prop_assert!(ticks[0] <= low + slack && ticks[ticks.len() - 1] >= high - slack, "{unit:?}: {ticks:?}");
            }
        }

        #[test]
        fn powers_cover_the_values_and_are_few(low in -6.0..6.0_f64, width in prop_oneof![Just(0.0), 0.0..9.0_f64]) {
            let (low, high) = (10_f64.powf(low), 10_f64.powf(low + width));
            let ticks = logarithmic(low, high);
            prop_assert!((2..=12).contains(&ticks.len()), "{ticks:?}");
            prop_assert!(ticks[0] <= low * 1.000_001 && ticks[ticks.len() - 1] >= high * 0.999_999, "{ticks:?}");
        }
    }
}
