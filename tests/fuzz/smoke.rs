//! The fuzz checks over the corpus and over mutations of it: some seconds'
//! worth, the same ones each time. What libFuzzer finds in hours (`make fuzz`)
//! goes into the corpus, and so is tried here ever after.
//!
//! `WEIR_FUZZ_MUTATIONS=1000000 WEIR_FUZZ_TARGET=caller` tries so many of one target,
//! where there is no time to build the fuzzer.

#[path = "checks.rs"]
mod checks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Mutations of each corpus, where nobody says how many.
const MUTATIONS: u64 = 1_500;

/// The most changes that make one mutation.
const CHANGES_MAX: u64 = 4;

/// The longest input that is made; libFuzzer's own default.
const INPUT_BYTES_MAX: usize = 4_096;

#[test]
fn the_corpus_and_what_is_near_it_pass_every_check() {
    let wanted = std::env::var("WEIR_FUZZ_MUTATIONS").ok();
    let mutations = wanted.map_or(MUTATIONS, |number| number.parse().unwrap());
    let only = std::env::var("WEIR_FUZZ_TARGET").ok();
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let all = checks::ALL.into_iter().filter(|(name, _)| is_wanted(name));
    assert!(all.clone().count() > 0, "no such target: {only:?}");
    for (name, check) in all {
        let corpus = corpus(name);
        assert!(corpus.len() >= 5, "{name}: only {} inputs", corpus.len());
        for input in &corpus {
            run(name, check, input);
        }
        let mut random = Random(0x5eed);
        for _ in 0..mutations {
            run(name, check, &mutated(&corpus, &mut random));
        }
        println!("{name}: {} inputs, {mutations} mutations", corpus.len());
    }
}

fn run(name: &str, check: checks::Check, input: &[u8]) {
    let result = catch_unwind(AssertUnwindSafe(|| check(input)));
    assert!(
        result.is_ok(),
        "{name} fails on \"{}\"",
        input.escape_ascii()
    );
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let folder = root.join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Knuth's linear congruence; its high bits are random enough.
struct Random(u64);

impl Random {
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(len.max(1) as u64) as usize
    }
}

/// One input of the corpus, changed a few times.
fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.index(corpus.len())].clone();
    for _ in 0..=random.below(CHANGES_MAX) {
        let at = random.index(input.len());
        let to = (at + random.index(16)).min(input.len());
        match random.below(7) {
            0 => input
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << (to % 8)),
            1 => {
                let byte = random.below(256) as u8;
                input
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|old| *old = byte);
            }
            2 => drop(input.drain(at..to)),
            3 => {
                let part = input[at..to].to_vec();
                input.splice(at..at, part);
            }
            4 => {
                // A part of another one.
                let other = &corpus[random.index(corpus.len())];
                let from = random.index(other.len());
                let part = &other[from..(from + 1 + random.index(24)).min(other.len())];
                input.splice(at..to, part.iter().copied());
            }
            5 => {
                let other = random.index(input.len());
                if !input.is_empty() {
                    input.swap(at, other);
                }
            }
            _ => {
                let odd = b"{}[]\",:\\\r\n \x000";
                let byte = odd[random.index(odd.len())];
                input.splice(at..at, [byte]);
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    // Most go without what takes its time.
    while random.below(32) > 0 && input.last() == Some(&checks::GIANT) {
        input.pop();
    }
    input
}
