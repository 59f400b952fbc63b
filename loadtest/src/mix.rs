//! What kind of event each one is: decided by its number and the run's seed, so that nobody has to remember it.

use std::str::FromStr;

/// Shares of all requests, each between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Copies of recent events: same id, same body, signed anew.
    pub copies: f64,
    /// Signed with another secret than the door's: to be refused.
    pub forged: f64,
    /// Signed and no JSON: to be accepted, and a dead letter.
    pub poison: f64,
    /// With a large body.
    pub large: f64,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A payment.
    Payment,
    /// A payment with a large body.
    Large,
    /// No JSON.
    Poison,
    /// Wrongly signed.
    Forged,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The next event.
    Fresh,
    /// This many events back.
    Copy(u64),
}

/// How far back copies reach: at 5,000/s a tenth of a second, so that copies meet each other in one batch and
/// in two.
const MEMORY: u64 = 500;

/// Who is what in one run.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    seed: u64,
    shares: Shares,
}

impl Mix {
    /// The mix of a run.
    pub fn new(seed: u64, shares: Shares) -> Self {
        Self { seed, shares }
    }

    /// What the request with this number is, where so many events have been made.
    pub fn request(&self, number: u64, events: u64) -> Request {
        let drawn = self.draw(number, 1);
        if events == 0 || share_of(drawn) >= self.shares.copies {
            return Request::Fresh;
        }
        Request::Copy(1 + self.draw(number, 2) % events.min(MEMORY))
    }

    /// What the event with this number is.
    pub fn kind(&self, event: u64) -> Kind {
        let drawn = share_of(self.draw(event, 3));
        let Shares {
            forged,
            poison,
            large,
            ..
        } = self.shares;
        if drawn < forged {
            Kind::Forged
        } else if drawn < forged + poison {
            Kind::Poison
        } else if drawn < forged + poison + large {
            Kind::Large
        } else {
            Kind::Payment
        }
    }

    /// SplitMix64: every number gives an even one, without a state that would have to be kept.
    fn draw(&self, number: u64, purpose: u64) -> u64 {
        let mut mixed = self.seed
            ^ (number.wrapping_mul(4).wrapping_add(purpose)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The upper 53 bits as a number from 0 to below 1.
fn share_of(drawn: u64) -> f64 {
    (drawn >> 11) as f64 / (1_u64 << 53) as f64
}

/// A share as it is written on a command line: `5%` or `0.05`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, whole) = match text.strip_suffix('%') {
            Some(number) => (number, 100.0),
            None => (text, 1.0),
        };
        let share = number.trim().parse().map(|number: f64| number / whole);
        match share {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            Ok(_) | Err(_) => Err("a share is written as 5% or 0.05".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares {
        copies: 0.1,
        forged: 0.05,
        poison: 0.02,
        large: 0.03,
    };

    #[test]
    fn shares_come_out_as_asked_for() {
        let mix = Mix::new(7, SHARES);
        let count = |kind| {
            (0..100_000)
                .filter(|event| mix.kind(*event) == kind)
                .count()
        };
        let near = |found: usize, share: f64| {
            let asked = share * 100_000.0;
            assert!(
                (found as f64 - asked).abs() < asked * 0.1,
                "{found} for {share}"
            );
        };
        near(count(Kind::Forged), 0.05);
        near(count(Kind::Poison), 0.02);
        near(count(Kind::Large), 0.03);
        let is_copy = |number: &u64| mix.request(*number, 1_000) != Request::Fresh;
        near((0..100_000).filter(is_copy).count(), 0.1);
    }

    #[test]
    fn a_copy_is_of_an_event_that_was_made() {
        let mix = Mix::new(
            7,
            Shares {
                copies: 1.0,
                ..SHARES
            },
        );
        assert_eq!(mix.request(3, 0), Request::Fresh);
        for number in 0..10_000 {
            for events in [1, 2, 499, 500, 501, 9_999] {
                let Request::Copy(back) = mix.request(number, events) else {
                    panic!("{number} is no copy");
                };
                assert!((1..=events.min(MEMORY)).contains(&back));
            }
        }
    }

    #[test]
    fn a_share_is_written_in_two_ways() {
        assert_eq!("5%".parse(), Ok(Share(0.05)));
        assert_eq!("0.05".parse(), Ok(Share(0.05)));
        for refused in ["5", "-1%", "101%", "NaN", "", "%"] {
            assert!(refused.parse::<Share>().is_err(), "{refused}");
        }
    }
}
