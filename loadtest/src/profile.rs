//! The shapes of load, and the file format of one's own.

use crate::schedule::{Schedule, Stage};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// A shape of load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One rate.
    Steady,
    /// A base rate, the rate, the base rate.
    Spike,
    /// Up in steps, until the first that does not hold.
    Ramp,
    /// One rate, in which nine requests in ten are copies of recent events.
    Storm,
    /// One rate, with something of everything in it.
    Mix,
    /// `second,rate` a line.
    File(PathBuf),
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "steady" => Ok(Self::Steady),
            "spike" => Ok(Self::Spike),
            "ramp" => Ok(Self::Ramp),
            "storm" => Ok(Self::Storm),
            "mix" => Ok(Self::Mix),
            path if path.ends_with(".csv") => Ok(Self::File(path.into())),
            _ => Err(
                "a profile is steady, spike, ramp, storm, mix, or a file ending in .csv".to_owned(),
            ),
        }
    }
}

/// Reads a profile of one's own.
pub(crate) fn read(path: &Path, duration: Option<Duration>) -> anyhow::Result<Schedule> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, duration).with_context(|| format!("{} is no profile", path.display()))
}

/// `second,rate` a line; a rate holds until the next line, the last one until `duration` where one is given, else
/// for as long as the one before it. A first line of words, empty lines and lines with a `#` are passed over.
fn parse(text: &str, duration: Option<Duration>) -> anyhow::Result<Schedule> {
    let mut stages: Vec<Stage> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let is_heading = number == 0 && line.starts_with(|first: char| first.is_ascii_alphabetic());
        if line.is_empty() || line.starts_with('#') || is_heading {
            continue;
        }
        let stage = stage(line).with_context(|| format!("line {}", number + 1))?;
        match stages.last() {
            None if !stage.from.is_zero() => bail!("the first line is not for second 0"),
            Some(last) if stage.from <= last.from => {
                bail!("line {} is not later than the one before it", number + 1)
            }
            None | Some(_) => stages.push(stage),
        }
    }
    let Some(last) = stages.last() else {
        bail!("there is no line in it; write one such as 0,100");
    };
    let length = duration.unwrap_or_else(|| match stages.len().checked_sub(2) {
        Some(before) => last.from + (last.from - stages[before].from),
        None => DEFAULT_LENGTH,
    });
    if length <= last.from {
        bail!("its last line is after the end of the run");
    }
    Ok(Schedule::new(stages, length))
}

/// Of a file with one line and no other word about it.
const DEFAULT_LENGTH: Duration = Duration::from_secs(30);

fn stage(line: &str) -> anyhow::Result<Stage> {
    let (second, rate) = line.split_once(',').context("write second,rate")?;
    let number = |text: &str| -> anyhow::Result<f64> {
        let number: f64 = text
            .trim()
            .parse()
            .with_context(|| format!("{text} is no number"))?;
        let is_sound = (0.0..=RATE_MOST).contains(&number);
        is_sound
            .then_some(number)
            .with_context(|| format!("{text} is not within 0 and {RATE_MOST}"))
    };
    Ok(Stage {
        from: Duration::from_secs_f64(number(second)?),
        rate: number(rate)?,
    })
}

/// More than one machine sends. For seconds too: eleven days.
pub(crate) const RATE_MOST: f64 = 1_000_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, duration: Option<u64>) -> Result<(Vec<(f64, f64)>, f64), String> {
        let schedule =
            parse(text, duration.map(Duration::from_secs)).map_err(|why| format!("{why:#}"))?;
        let stages = schedule
            .spans()
            .map(|(stage, _)| (stage.from.as_secs_f64(), stage.rate))
            .collect();
        Ok((stages, schedule.length().as_secs_f64()))
    }

    #[test]
    fn a_rate_holds_until_the_next_line() {
        let lines = "second,rate\n0,100\n# the spike\n10,5000\n\n70.5, 0\n";
        let stages = vec![(0.0, 100.0), (10.0, 5_000.0), (70.5, 0.0)];
        assert_eq!(check(lines, None), Ok((stages.clone(), 131.0)));
        assert_eq!(check(lines, Some(80)), Ok((stages, 80.0)));
        assert_eq!(check("0,7", None), Ok((vec![(0.0, 7.0)], 30.0)));
    }

    #[test]
    fn what_is_no_profile_is_said_with_its_line() {
        let refused = |text: &str, duration, why: &str| {
            let said = check(text, duration).unwrap_err();
            assert!(said.contains(why), "{text:?}: {said}");
        };
        refused("", None, "there is no line in it");
        refused("5,100", None, "the first line is not for second 0");
        refused("0,1\n0,2", None, "line 2 is not later");
        refused("0,1\n9,2\n8,3", None, "line 3 is not later");
        refused("0;1", None, "line 1: write second,rate");
        refused("0,fast", None, "fast is no number");
        refused("0,-1", None, "-1 is not within");
        refused("0,NaN", None, "NaN is not within");
        refused("0,inf", None, "inf is not within");
        refused("0,1\n60,2", Some(60), "after the end of the run");
    }

    #[test]
    fn a_name_that_is_no_profile_is_refused() {
        assert_eq!("spike".parse(), Ok(Profile::Spike));
        assert_eq!("a/b.csv".parse(), Ok(Profile::File("a/b.csv".into())));
        assert!("spikes".parse::<Profile>().is_err());
    }
}
