//! The seeds of `fuzz/`, and mutations of them that are the same each time, go through every function.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// Mutations of each seed: together a second or two.
const MUTATIONS: u64 = 4_000;

/// Text that the formats give a meaning.
const WORDS: [&[u8]; 16] = [
    b"\r\n",
    b"\n",
    b":",
    b",",
    b";",
    b" ",
    b"0",
    b"18446744073709551616",
    b"-1",
    b"%",
    b"*",
    b"@",
    b"//",
    b"\xff",
    b"\0",
    b"chunked",
];

/// Numbers that look random and are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }
}

/// One to four changes: a bit, a byte, a word, a piece gone, a piece again.
fn mutated(seed: &[u8], number: u64) -> Vec<u8> {
    let (mut numbers, mut data) = (Numbers(number), seed.to_vec());
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(data.len() + 1);
        let end = (at + numbers.below(16)).min(data.len());
        match numbers.below(5) {
            0 if at < data.len() => data[at] ^= 1 << numbers.below(8),
            1 if at < data.len() => data[at] = numbers.below(256) as u8,
            2 => drop(data.splice(at..at, WORDS[numbers.below(WORDS.len())].iter().copied())),
            3 => drop(data.drain(at..end)),
            _ => {
                let piece = data[at..end].to_vec();
                drop(data.splice(at..at, piece));
            }
        }
    }
    data
}

fn explore(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(seeds.len() >= 3, "{} has {} seeds", folder.display(), seeds.len());
    for path in seeds {
        let seed = fs::read(&path).unwrap();
        for number in 0..=MUTATIONS {
            let data = if number == 0 { seed.clone() } else { mutated(&seed, number) };
            let name = path.display();
            assert!(
                catch_unwind(|| run(&data)).is_ok(),
                "{name}, mutation {number}: {}",
                data.escape_ascii()
            );
        }
    }
}

#[test]
fn test_heads_keep_their_properties_when_seeds_are_mutated() {
    explore("response_head", super::response_head);
}

#[test]
fn test_chunks_keep_their_properties_when_seeds_are_mutated() {
    explore("chunked", super::chunked);
}

#[test]
fn test_decoding_keeps_its_properties_when_seeds_are_mutated() {
    explore("decoding", super::decoding);
}

#[test]
fn test_codings_keep_their_properties_when_seeds_are_mutated() {
    explore("round_trip", super::round_trip);
}

#[test]
fn test_redirects_keep_their_properties_when_seeds_are_mutated() {
    explore("redirect", super::redirect);
}

#[test]
fn test_limits_keep_their_properties_when_seeds_are_mutated() {
    explore("limits", super::limits);
}

#[test]
fn test_robots_keep_their_properties_when_seeds_are_mutated() {
    explore("robots", super::robots);
}

#[test]
fn test_urls_keep_their_properties_when_seeds_are_mutated() {
    explore("urls", super::urls);
}
