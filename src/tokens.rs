//! Counting tokens: exact where the vocabulary is public and there is time for
//! it, within a fixed bound of work per call whatever a body holds.
//!
//! - [`tokenizer`]: the vocabularies, and the engines that count by them;
//! - [`pieces`]: ASCII, split as their patterns split it;
//! - [`counting`]: the texts of a prompt, within a bound of time;
//! - [`stream`]: an answer, as it is said;
//! - [`cut`]: where a text may be cut so that counts add up;
//! - [`ratios`]: vocabularies that aren't public, by comparison;
//! - [`overhead`]: what a provider adds around the texts;
//! - [`images`]: what a provider makes of a picture.
//!
//! Always holds: time and randomness come in as arguments; nothing here knows a
//! provider's messages.

mod counting;
mod cut;
pub mod images;
mod known_pieces;
pub mod overhead;
mod pieces;
pub mod ratios;
mod strata;
mod stream;
mod tokenizer;
mod whole_tokens;

pub use counting::{COUNTING_NANOS, Count, Counting, Plain, Standstill, Stopwatch, Texts, count};
pub use cut::RawText;
pub use known_pieces::KnownPieces;
pub use stream::{StreamCount, TAIL_BYTES_MAX};
pub use tokenizer::{Tokenizer, Vocabulary};

/// Spreads a seed over all bits (the finaliser of SplitMix64).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
