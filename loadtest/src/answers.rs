//! What the sender knows: which events were sent, and which were accepted. Two bits an event, so that it can be
//! kept for as long as a run lasts: a million and a half are 375 kB.

/// A set of numbers from zero on.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    /// Adds a number; whether it is new.
    pub fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = place(number);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += u64::from(is_new);
        is_new
    }

    /// Takes a number out.
    pub fn remove(&mut self, number: u64) {
        if self.contains(number) {
            let (word, bit) = place(number);
            self.words[word] &= !bit;
            self.count -= 1;
        }
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.words.get(word).is_some_and(|found| found & bit != 0)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The numbers from this one on, in order.
    pub fn from(&self, first: u64) -> impl Iterator<Item = u64> {
        let start = usize::try_from(first / 64)
            .unwrap_or(usize::MAX)
            .min(self.words.len());
        let words = self.words[start..].iter().zip(start as u64..);
        let numbers = words.flat_map(|(word, at)| BitsOf(*word).map(move |bit| at * 64 + bit));
        numbers.skip_while(move |number| *number < first)
    }
}

/// The bits that are set in a word, from the lowest.
struct BitsOf(u64);

impl Iterator for BitsOf {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(u64::from(bit))
    }
}

fn place(number: u64) -> (usize, u64) {
    (
        usize::try_from(number / 64).unwrap_or(usize::MAX),
        1 << (number % 64),
    )
}

/// What became of the events, by number, as the sender knows it.
#[derive(Debug, Default)]
pub struct Answers {
    /// Sent, answered or not.
    pub sent: Bits,
    /// Answered 200 or 202: an obligation.
    pub accepted: Bits,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(inserted in proptest::collection::vec(0_u64..1_000, 0..200), removed in proptest::collection::vec(0_u64..1_000, 0..50), first in 0_u64..1_100) {
            let (mut bits, mut set) = (Bits::default(), BTreeSet::new());
            for number in inserted {
                prop_assert_eq!(bits.insert(number), set.insert(number));
            }
            for number in removed {
                bits.remove(number);
                set.remove(&number);
            }
            prop_assert_eq!(bits.len(), set.len() as u64);
            prop_assert_eq!(bits.from(first).collect::<Vec<_>>(), set.range(first..).copied().collect::<Vec<_>>());
            prop_assert!((0..1_100).all(|number| bits.contains(number) == set.contains(&number)));
        }
    }
}
