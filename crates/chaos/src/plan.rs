//! What happens when, from a seed alone: the same seed is the same plan, whatever the machine does.

use crate::faults::{Family, Fault};
use fastrand::Rng;
use std::time::Duration;

/// A fault, how long, and to which of several equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    pub fault: Fault,
    pub lasting: Duration,
    pub pick: usize,
}

/// A quiet moment, and then one fault or two at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub quiet: Duration,
    pub strikes: Vec<Strike>,
}

impl Round {
    /// Twenty-five kills of workers, for the runs that promise them.
    pub fn volley() -> Self {
        let strike = Strike {
            fault: Fault::Volley,
            lasting: Duration::ZERO,
            pick: 0,
        };
        Self {
            quiet: Duration::ZERO,
            strikes: vec![strike],
        }
    }
}

/// How much time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Minutes: no fault lasts longer than three seconds, and the longest ones are left out.
    Brisk,
    /// An hour: every fault as long as it is worth.
    Full,
}

/// Of a hundred rounds so many are pairs.
const PAIRS: u32 = 30;

#[derive(Debug)]
pub struct Plan {
    rng: Rng,
    pace: Pace,
    faults: Vec<Fault>,
    /// What of each family has not been drawn yet in this turn.
    decks: Vec<(Family, Vec<Fault>)>,
    /// Whose turn it is.
    turns: Vec<Family>,
}

impl Plan {
    /// Over the faults whose name contains one of `words`; over all without any.
    pub fn new(seed: u64, pace: Pace, words: &[String]) -> Self {
        let named = |fault: &Fault| {
            words.is_empty() || words.iter().any(|word| fault.name().contains(word))
        };
        let fits = |fault: &Fault| pace == Pace::Full || *fault != Fault::Volley;
        let faults = Fault::all().into_iter().filter(named).filter(fits);
        Self {
            rng: Rng::with_seed(seed),
            pace,
            faults: faults.collect(),
            decks: Vec::new(),
            turns: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    fn strike(&mut self) -> Option<Strike> {
        let fault = self.draw()?;
        let (lasts, rng) = (fault.lasts(), &mut self.rng);
        let lasting = Duration::from_millis(rng.u64(lasts.start() * 1000..=lasts.end() * 1000));
        let lasting = match self.pace {
            Pace::Full => lasting,
            Pace::Brisk => lasting.min(BRISK),
        };
        let pick = rng.usize(..);
        Some(Strike {
            fault,
            lasting,
            pick,
        })
    }

    /// Every fault of a family comes once before one of them comes twice.
    fn draw(&mut self) -> Option<Fault> {
        let family = self.turn()?;
        let at = self.decks.iter().position(|(of, _)| *of == family);
        let at = at.unwrap_or_else(|| {
            self.decks.push((family, Vec::new()));
            self.decks.len() - 1
        });
        let deck = &mut self.decks[at].1;
        if deck.is_empty() {
            let alike = |fault: &&Fault| fault.family() == family;
            deck.extend(self.faults.iter().filter(alike));
            self.rng.shuffle(deck);
        }
        deck.pop()
    }

    fn turn(&mut self) -> Option<Family> {
        if self.turns.is_empty() {
            for fault in &self.faults {
                if !self.turns.contains(&fault.family()) {
                    self.turns.push(fault.family());
                }
            }
            self.rng.shuffle(&mut self.turns);
        }
        self.turns.pop()
    }
}

const BRISK: Duration = Duration::from_secs(3);

impl Iterator for Plan {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        let first = self.strike()?;
        let mut strikes = vec![first];
        if self.rng.u32(..100) < PAIRS {
            let second = self.strike()?;
            // One that does not go with the first waits for another time.
            strikes.extend(first.fault.goes_with(second.fault).then_some(second));
        }
        let quiet = Duration::from_millis(self.rng.u64(500..2500));
        Some(Round { quiet, strikes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_is_a_plan() {
        let plan = |seed| {
            Plan::new(seed, Pace::Full, &[])
                .take(50)
                .collect::<Vec<_>>()
        };
        assert_eq!(plan(42), plan(42));
        assert_ne!(plan(42), plan(43));
    }

    #[test]
    fn every_fault_comes_and_some_in_pairs() {
        let rounds: Vec<Round> = Plan::new(1, Pace::Full, &[]).take(300).collect();
        let seen = rounds.iter().flat_map(|round| &round.strikes);
        let seen: BTreeSet<Fault> = seen.map(|strike| strike.fault).collect();
        assert_eq!(seen, Fault::all().into_iter().collect());
        assert!(
            rounds
                .iter()
                .filter(|round| round.strikes.len() == 2)
                .count()
                > 30
        );
    }

    #[test]
    fn a_short_run_has_short_faults_of_every_family() {
        let rounds: Vec<Round> = Plan::new(1, Pace::Brisk, &[]).take(8).collect();
        let strikes = || rounds.iter().flat_map(|round| &round.strikes);
        assert!(strikes().all(|strike| strike.lasting <= BRISK));
        let families: Vec<Family> = strikes().map(|strike| strike.fault.family()).collect();
        for family in [
            Family::Process,
            Family::Network,
            Family::Server,
            Family::Crash,
        ] {
            assert!(families.contains(&family), "{family:?}");
        }
    }

    #[test]
    fn words_choose_faults() {
        let words = ["black-hole".to_owned()];
        let rounds = Plan::new(1, Pace::Full, &words).take(20);
        for strike in rounds.flat_map(|round| round.strikes) {
            assert!(strike.fault.name().contains("black-hole"));
        }
        assert!(Plan::new(1, Pace::Full, &["no such fault".to_owned()]).is_empty());
    }
}
