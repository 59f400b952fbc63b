//! Who is let in at all: from where, and how often. Both are asked before a byte of the body is read.

use crate::caller::Callers;
use crate::refused::Refused;
use envelope::SourceName;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hyper::HeaderMap;
use ops::config::{IngestConfig, Network, SourceConfig, any_contains};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// The terms of the sources that have some.
#[derive(Debug, Default)]
pub struct Admission {
    /// Only sources with terms: where none has any, the question ends at an empty map.
    terms: BTreeMap<SourceName, Terms>,
    callers: Callers,
}

#[derive(Debug)]
struct Terms {
    /// Empty is everywhere.
    allow_from: Vec<Network>,
    rate: Option<DefaultDirectRateLimiter>,
}

impl Admission {
    /// As configured.
    pub fn new(bounds: &IngestConfig, sources: &BTreeMap<SourceName, SourceConfig>) -> Self {
        let terms = |(name, source): (&SourceName, &SourceConfig)| {
            let terms = Terms {
                allow_from: source.allow_from.clone(),
                rate: source.max_rate.map(|rate| limiter(rate, source.max_burst)),
            };
            let has_some = !terms.allow_from.is_empty() || terms.rate.is_some();
            has_some.then(|| (name.clone(), terms))
        };
        Self {
            terms: sources.iter().filter_map(terms).collect(),
            callers: Callers::new(bounds),
        }
    }

    /// Whether this is one of our own proxies.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.callers.trusts(peer)
    }

    /// Whether the source may send from there.
    pub(crate) fn check_address(
        &self,
        source: &SourceName,
        peer: IpAddr,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        let Some(terms) = self.terms.get(source) else {
            return Ok(());
        };
        if terms.allow_from.is_empty() {
            return Ok(());
        }
        let caller = self.callers.address(peer, headers);
        match caller {
            Some(caller) if any_contains(&terms.allow_from, caller) => Ok(()),
            Some(_) | None => Err(Refused::Address(caller)),
        }
    }

    /// Whether the source may send now.
    pub(crate) fn check_rate(&self, source: &SourceName) -> Result<(), Refused> {
        let Some(rate) = self.terms.get(source).and_then(|terms| terms.rate.as_ref()) else {
            return Ok(());
        };
        rate.check().map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Refused::TooOften {
                retry_after_seconds: whole_seconds(wait),
            }
        })
    }
}

fn limiter(rate: NonZeroU32, burst: Option<NonZeroU32>) -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(rate).allow_burst(burst.unwrap_or(rate)))
}

/// Rounded up, so that whoever waits as long is let in; and never 0, which invites to try again at once.
fn whole_seconds(wait: Duration) -> u64 {
    let rounded = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(sources: &[(&str, SourceConfig)]) -> Admission {
        let named = |(name, source): &(&str, SourceConfig)| (name.parse().unwrap(), source.clone());
        let sources: BTreeMap<SourceName, SourceConfig> = sources.iter().map(named).collect();
        let bounds = ops::config::load(None).unwrap().ingest;
        Admission::new(&bounds, &sources)
    }

    fn from(networks: &[&str]) -> SourceConfig {
        SourceConfig {
            allow_from: networks.iter().map(|text| text.parse().unwrap()).collect(),
            ..SourceConfig::default()
        }
    }

    fn at_most(rate: u32, burst: Option<u32>) -> SourceConfig {
        SourceConfig {
            max_rate: NonZeroU32::new(rate),
            max_burst: burst.and_then(NonZeroU32::new),
            ..SourceConfig::default()
        }
    }

    #[test]
    fn a_source_is_let_in_from_its_networks_and_others_from_everywhere() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let admission = admission(&[("a", from(&["203.0.113.0/24"])), ("b", from(&[]))]);
        let ask = |source: &SourceName, peer: &str| {
            let headers = HeaderMap::new();
            admission.check_address(source, peer.parse().unwrap(), &headers)
        };
        assert_eq!(ask(&a, "203.0.113.9"), Ok(()));
        assert_eq!(ask(&a, "::ffff:203.0.113.9"), Ok(()));
        let stranger = "198.51.100.1".parse().unwrap();
        let refused = Err(Refused::Address(Some(stranger)));
        assert_eq!(ask(&a, "198.51.100.1"), refused);
        assert_eq!(ask(&b, "198.51.100.1"), Ok(()));
    }

    #[test]
    fn above_its_rate_a_source_is_told_when_to_come_again_and_others_are_not() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let admission = admission(&[("a", at_most(1, Some(3))), ("b", at_most(1_000_000, None))]);
        let let_in = (0..10).take_while(|_| admission.check_rate(&a).is_ok());
        let let_in = let_in.count();
        // A burst, and another second's worth on a machine that stands still.
        assert!((3..10).contains(&let_in), "{let_in}");
        assert_eq!(
            admission.check_rate(&a),
            Err(Refused::TooOften {
                retry_after_seconds: 1
            })
        );
        assert!((0..1_000).all(|_| admission.check_rate(&b).is_ok()));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_as_none() {
        for (nanoseconds, seconds) in [
            (0, 1),
            (1, 1),
            (999_999_999, 1),
            (1_000_000_000, 1),
            (1_000_000_001, 2),
            (60_000_000_000, 60),
        ] {
            assert_eq!(whole_seconds(Duration::from_nanos(nanoseconds)), seconds);
        }
    }
}
