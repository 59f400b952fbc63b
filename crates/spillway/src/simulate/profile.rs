//! An arrival curve: a CSV of `second,rate`, where a rate holds until the next line.

use anyhow::{Context, bail, ensure};
use std::path::Path;

/// A day: longer curves are no tuning any more.
const LONGEST: u64 = 86_400;

/// How many events arrive in each second.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Profile(Vec<(u64, f64)>);

impl Profile {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut steps: Vec<(u64, f64)> = Vec::new();
        let lines = text.lines().map(str::trim).enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            if steps.is_empty() && line.replace(' ', "") == "second,rate" {
                continue;
            }
            let step = step(line).with_context(|| format!("line {}: {line:?}", number + 1))?;
            let in_order = steps.last().is_none_or(|(second, _)| *second < step.0);
            ensure!(in_order, "line {}: seconds have to go up", number + 1);
            steps.push(step);
        }
        match steps.first() {
            None => bail!("there is no line `second,rate` in it, such as `0,100`"),
            Some((0, _)) => Ok(Self(steps)),
            Some(_) => bail!("the first line has to be of second 0"),
        }
    }

    /// Events a second in this second; the last rate goes on.
    pub(super) fn rate(&self, second: u64) -> f64 {
        let past = self.0.iter().take_while(|(begins, _)| *begins <= second);
        past.last().map_or(0.0, |(_, rate)| *rate)
    }

    /// When the last line begins.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |(second, _)| *second)
    }
}

#[cfg(test)]
impl Profile {
    pub(super) fn for_tests(steps: &[(u64, f64)]) -> Self {
        Self(steps.to_vec())
    }
}

fn step(line: &str) -> anyhow::Result<(u64, f64)> {
    let (second, rate) = line
        .split_once(',')
        .context("not of the form `second,rate`")?;
    let second: u64 = second.trim().parse().context("no second")?;
    let rate: f64 = rate.trim().parse().context("no rate")?;
    ensure!(second <= LONGEST, "a curve has at most {LONGEST} seconds");
    ensure!(
        rate.is_finite() && rate >= 0.0,
        "a rate is events a second, 0 or more"
    );
    Ok((second, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_until_the_next_line() {
        let profile = Profile::parse("second,rate\n0,100\n30, 5000\n\n# calm\n90,100\n").unwrap();
        let at = [0, 29, 30, 89, 90, 9_000].map(|second| profile.rate(second));
        assert_eq!(at, [100.0, 100.0, 5000.0, 5000.0, 100.0, 100.0]);
        assert_eq!(profile.end(), 90);
    }

    #[test]
    fn what_is_no_curve_is_refused_with_its_line() {
        for (text, told) in [
            ("", "no line"),
            ("5,100", "second 0"),
            ("0,100\n0,200", "line 2"),
            ("0,100\n9,many", "line 2"),
            ("0,-1", "line 1"),
            ("0;1", "line 1"),
        ] {
            let why = Profile::parse(text).unwrap_err();
            assert!(format!("{why:#}").contains(told), "{why:#}");
        }
    }
}
