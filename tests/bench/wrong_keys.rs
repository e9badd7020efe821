//! Whether the time that a wrong key takes tells how much of it is right: wrong
//! keys that begin as a real one does, by how many characters they share with it.
//!
//! The classes take turns in every round, in an order drawn anew, and each key is
//! made of one of many real ones and lies where all others lay: what the machine
//! does falls on all alike, and no key comes so often that caches know it. A
//! class is compared with the one that shares nothing, by Welch's t over the
//! rounds that nothing interrupted. Two classes say what the method is worth:
//! another that shares nothing must not stand out, and a comparison that stops
//! at the first wrong character must.

use crate::counters::median;
use crate::dice::Dice;
use anyhow::ensure;
use std::hint::black_box;
use std::time::Instant;
use weir::identity::KeyRing;
use weir::units::UnixMillis;

const ROUNDS: usize = 20_000;
/// Keys of a class in a round: enough that reading the clock is a small part.
const BATCH: usize = 32;
/// Rounds that took longer than this part of all were interrupted.
const KEPT: f64 = 0.9;
/// By chance alone not one run in ten thousand has a larger t in any class.
const T_MAX: f64 = 4.5;

const PREFIX: &str = "weir_live_";
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
const KEY: usize = PREFIX.len() + SECRET + CHECKSUM;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 43 with the right checksum is the real key.
const MISTYPED_SHARES: [usize; 6] = [0, 8, 16, 24, 32, 43];
const UNKNOWN_SHARES: [usize; 6] = [0, 8, 16, 24, 32, 42];

/// What is done with a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its checksum doesn't fit.
    Mistyped,
    /// Its checksum fits; no such key exists.
    Unknown,
    /// By a comparison that stops at the first wrong character.
    Naive,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Mistyped => "wrong checksum",
            Way::Unknown => "right checksum, unknown",
            Way::Naive => "control: stops at the first wrong character",
        }
    }
}

/// Wrong keys of a kind, and how long they took, in ns a key.
struct Class {
    way: Way,
    shared: usize,
    /// The first of a way; all others are compared with it.
    is_base: bool,
    took: Vec<f64>,
}

/// Prints a table and a verdict of each way.
///
/// # Errors
/// A wrong key was taken for a right one, or the other way round.
pub fn run(ring: &KeyRing, real: &[String], now: UnixMillis) -> anyhow::Result<()> {
    for real in real {
        ensure!(real.len() == KEY && real.starts_with(PREFIX), "a whole key");
        let known = ring.authenticate(real.as_bytes(), now);
        ensure!(known.is_ok(), "a real key");
    }
    let mut classes = classes();
    let mut dice = Dice(u64::from(std::process::id()));
    let mut batch = vec![([0u8; KEY], 0); BATCH];
    let mut order: Vec<usize> = (0..classes.len()).collect();
    // The first tenth warms caches and the clock up.
    for round in 0..ROUNDS + ROUNDS / 10 {
        for at in (1..order.len()).rev() {
            order.swap(at, dice.roll(at as u64 + 1) as usize);
        }
        for at in &order {
            let class = &mut classes[*at];
            for (key, of) in &mut batch {
                *of = dice.roll(real.len() as u64) as usize;
                *key = wrong(real[*of].as_bytes(), class, &mut dice);
            }
            let (ns, right) = timed(class.way, ring, real, &batch, now);
            ensure!(right == 0, "a wrong key was taken for a right one");
            if round >= ROUNDS / 10 {
                class.took.push(ns);
            }
        }
    }
    println!("wrong keys, {ROUNDS} rounds of {BATCH} each, by what they share with a real one:");
    for way in [Way::Mistyped, Way::Unknown, Way::Naive] {
        let of_way: Vec<&Class> = classes.iter().filter(|class| class.way == way).collect();
        told(way, &of_way);
    }
    Ok(())
}

fn classes() -> Vec<Class> {
    let class = |way, shared, is_base| Class {
        way,
        shared,
        is_base,
        took: Vec::with_capacity(ROUNDS),
    };
    let mut all = Vec::new();
    for (way, shares) in [
        (Way::Mistyped, &MISTYPED_SHARES[..]),
        (Way::Unknown, &UNKNOWN_SHARES[..]),
        (Way::Naive, &[0, 42][..]),
    ] {
        all.push(class(way, 0, true));
        all.extend(shares.iter().map(|shared| class(way, *shared, false)));
    }
    all
}

/// A new key of a class.
fn wrong(real: &[u8], class: &Class, dice: &mut Dice) -> [u8; KEY] {
    let mut key = [0; KEY];
    key.copy_from_slice(real);
    let secret = PREFIX.len()..PREFIX.len() + SECRET;
    for (at, to) in key[secret.clone()]
        .iter_mut()
        .enumerate()
        .skip(class.shared)
    {
        let other = dice.pick(DIGITS);
        // The first that isn't shared surely differs.
        let same = at == class.shared && other == *to;
        *to = if same {
            DIGITS[usize::from(other == b'0')]
        } else {
            other
        };
    }
    let mut checksum = checksum(&key[..secret.end]);
    if class.way == Way::Mistyped {
        let at = dice.roll(CHECKSUM as u64) as usize;
        checksum[at] = if checksum[at] == b'7' { b'8' } else { b'7' };
    }
    key[secret.end..].copy_from_slice(&checksum);
    key
}

/// As the format has it: the CRC-32 of all before it, in base 62.
fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut number = crc32fast::hash(body) as usize;
    let mut digits = [0; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[number % DIGITS.len()];
        number /= DIGITS.len();
    }
    digits
}

/// The time of each in ns, and how many were taken for right.
fn timed(
    way: Way,
    ring: &KeyRing,
    real: &[String],
    batch: &[([u8; KEY], usize)],
    now: UnixMillis,
) -> (f64, usize) {
    let begun = Instant::now();
    let mut right = 0;
    for (key, of) in batch {
        let key = black_box(&key[..]);
        right += usize::from(match way {
            Way::Mistyped | Way::Unknown => ring.authenticate(key, now).is_ok(),
            Way::Naive => key
                .iter()
                .zip(real[*of].as_bytes())
                .all(|(a, b)| black_box(a == b)),
        });
    }
    let took = begun.elapsed().as_nanos() as f64;
    (took / batch.len() as f64, black_box(right))
}

fn told(way: Way, classes: &[&Class]) {
    let mut all: Vec<f64> = classes
        .iter()
        .flat_map(|class| &class.took)
        .copied()
        .collect();
    all.sort_by(f64::total_cmp);
    let most = all[(all.len() as f64 * KEPT) as usize];
    let Some(base) = classes.iter().find(|class| class.is_base) else {
        return;
    };
    let base_median = median(base.took.iter().copied());
    println!("  {}", way.name());
    println!("    shared  median ns  against none, ns  Welch's t");
    println!("      none  {base_median:9.1}");
    let mut differs = Vec::new();
    for class in classes.iter().filter(|class| !class.is_base) {
        let own = median(class.took.iter().copied());
        let t = welch(&class.took, &base.took, most);
        let by = own - base_median;
        let shared = match class.shared {
            0 => "none too".to_owned(),
            shared => shared.to_string(),
        };
        println!("  {shared:>8}  {own:9.1}  {by:+16.2}  {t:+9.2}");
        if t.abs() > T_MAX {
            differs.push(format!("{shared} by {by:+.2} ns"));
        }
    }
    match differs.is_empty() {
        true => println!("    no difference beyond noise"),
        false => println!("    differs: {}", differs.join(", ")),
    }
}

/// Welch's t of two samples, of which what is above `most` doesn't count.
fn welch(a: &[f64], b: &[f64], most: f64) -> f64 {
    let moments = |of: &[f64]| {
        let kept: Vec<f64> = of.iter().copied().filter(|ns| *ns <= most).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let squares: f64 = kept.iter().map(|ns| (ns - mean).powi(2)).sum();
        (mean, squares / (count - 1.0) / count)
    };
    let ((a, a_error), (b, b_error)) = (moments(a), moments(b));
    (a - b) / (a_error + b_error).sqrt()
}
