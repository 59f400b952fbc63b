//! Spoils a file of a corpus, in the ways that have broken readers before. The same seed spoils it in the same way.

use fastrand::Rng;

/// Longer ones find nothing that these do not, and take longer.
const MAX_BYTES: usize = 16_384;

/// One change is found by reading; what reads past several has to go on after the first.
const STEPS_MAX: usize = 4;

/// What means something to one of the readers.
const TOKENS: [&[u8]; 40] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b",",
    b"=",
    b":",
    b".",
    b"-",
    b"+",
    b"0",
    b"9007199254740992",
    b"-1",
    b"1e999",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[[",
    b"{\"a\":",
    b"t=",
    b"v1=",
    b"v1,",
    b"sha256=",
    b"whsec_",
    b"env:A",
    b"file:",
    b"\xff",
    b"\x80",
    b"\xc3\xa9",
    b"\xd9\xa1",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x92\xb8",
    b"\xef\xbb\xbf",
];

/// A spoiled copy of `file`; `other` is another file of the corpus, to splice with.
pub fn spoiled(random: &mut Rng, file: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..random.usize(1..=STEPS_MAX) {
        step(random, &mut bytes, other);
        bytes.truncate(MAX_BYTES);
    }
    bytes
}

fn step(random: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let range = range(random, bytes.len());
    let at = range.start;
    match random.u8(0..9) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(range)),
        2 => {
            let twice = bytes[range].to_vec();
            bytes.splice(at..at, twice);
        }
        3 => {
            let token = TOKENS[random.usize(..TOKENS.len())];
            bytes.splice(at..at, token.iter().copied());
        }
        4 => {
            let token = TOKENS[random.usize(..TOKENS.len())];
            bytes.splice(range, token.iter().copied());
        }
        5 => {
            let end = random.usize(..=other.len());
            bytes.splice(at.., other[end..].iter().copied());
        }
        6 => bytes[range].reverse(),
        7 => bytes[range].iter_mut().for_each(|byte| *byte ^= 0x20),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.u8(0..8);
            }
        }
    }
}

/// Mostly short: most of what is read is.
fn range(random: &mut Rng, length: usize) -> std::ops::Range<usize> {
    let start = random.usize(..=length);
    let longest = if random.bool() { 8 } else { length };
    let end = start + random.usize(..=longest.min(length - start));
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_spoils_in_the_same_way_and_another_in_another() {
        let run = |seed| {
            let mut random = Rng::with_seed(seed);
            let all = (0..200).map(|_| spoiled(&mut random, b"{\"amount\":1}", b"[]"));
            all.collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let changed = run(1)
            .iter()
            .filter(|bytes| *bytes != b"{\"amount\":1}")
            .count();
        assert!(changed > 180, "{changed}");
    }

    #[test]
    fn nothing_grows_without_end_and_nothing_is_too_short() {
        let mut random = Rng::with_seed(0);
        let mut bytes = Vec::new();
        for _ in 0..20_000 {
            bytes = spoiled(&mut random, &bytes, b"other");
            assert!(bytes.len() <= MAX_BYTES);
        }
    }
}
