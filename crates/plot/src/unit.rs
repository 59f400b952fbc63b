//! What a number on an axis means, and how it is written.

/// The unit of a panel's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Things a second.
    PerSecond,
    /// Seconds, written as µs, ms, s, min or h.
    Seconds,
    /// Bytes, written in powers of 1,024.
    Bytes,
    /// A share of one, written in per cent.
    Share,
}

impl Unit {
    /// The value for a reader: three digits that count, and the unit.
    pub fn format(self, value: f64) -> String {
        let (scaled, suffix) = self.scaled(value);
        format!("{}{suffix}", three_digits(scaled))
    }

    /// A number below about a thousand, and what makes it whole again.
    fn scaled(self, value: f64) -> (f64, &'static str) {
        let steps: &[(f64, &'static str)] = match self {
            Self::Count => &[(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")],
            Self::PerSecond => &[(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
            Self::Seconds => &[
                (7_200.0, " h"),
                (120.0, " min"),
                (1.0, " s"),
                (1e-3, " ms"),
                (1e-6, " µs"),
            ],
            Self::Bytes => &[
                (1_073_741_824.0, " GiB"),
                (1_048_576.0, " MiB"),
                (1_024.0, " KiB"),
                (1.0, " B"),
            ],
            Self::Share => &[(0.01, " %")],
        };
        let zero = match self {
            Self::Seconds => " s",
            Self::Count | Self::PerSecond | Self::Bytes | Self::Share => steps[steps.len() - 1].1,
        };
        if value == 0.0 {
            return (0.0, zero);
        }
        let fits = |(from, _): &&(f64, &str)| value.abs() >= from * NEARLY;
        let (from, suffix) = steps
            .iter()
            .find(fits)
            .copied()
            .unwrap_or(steps[steps.len() - 1]);
        let divisor = match suffix {
            " h" => 3_600.0,
            " min" => 60.0,
            _ => from,
        };
        (value / divisor, suffix)
    }

    /// Sizes of a step between ticks, within one power of `base`.
    pub(crate) fn steps(self) -> (f64, &'static [f64]) {
        match self {
            Self::Bytes => (
                1_024.0,
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
            ),
            Self::Count | Self::PerSecond | Self::Seconds | Self::Share => (10.0, &[1.0, 2.0, 5.0]),
        }
    }
}

/// 999.6 written with three digits is a thousand: the next suffix is due.
const NEARLY: f64 = 0.999_5;

fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        at_least if at_least >= 99.95 => 0,
        at_least if at_least >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_for_a_reader() {
        let check = |unit: Unit, value: f64, text: &str| assert_eq!(unit.format(value), text);
        check(Unit::Count, 0.0, "0");
        check(Unit::Count, 7.0, "7");
        check(Unit::Count, 999.4, "999");
        check(Unit::Count, 999.6, "1k");
        check(Unit::Count, 12_345.0, "12.3k");
        check(Unit::Count, 1_500_000.0, "1.5M");
        check(Unit::PerSecond, 5_000.0, "5k/s");
        check(Unit::Seconds, 0.0, "0 s");
        check(Unit::Seconds, 0.000_25, "250 µs");
        check(Unit::Seconds, 0.012_34, "12.3 ms");
        check(Unit::Seconds, 1.5, "1.5 s");
        check(Unit::Seconds, 300.0, "5 min");
        check(Unit::Seconds, 36_000.0, "10 h");
        check(Unit::Bytes, 67_108_864.0, "64 MiB");
        check(Unit::Bytes, 512.0, "512 B");
        check(Unit::Share, 0.85, "85 %");
        check(Unit::Share, 0.0, "0 %");
    }
}
