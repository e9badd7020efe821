//! The pieces that a call's texts have had so far, with their counts.
//!
//! Texts repeat their words, and to look one up costs a tenth of counting it.
//!
//! Always holds: what is found is what was counted, as whole pieces are
//! compared; memory is at most [`SLOTS_MAX`] slots, fewer for short texts, taken
//! when the first is filled. A piece that falls into another's slot replaces it.

use std::ops::Range;

/// Slots for pieces: 32 KiB, which a core's nearest cache holds.
const SLOTS_MAX: usize = 2048;

/// Texts that together are shorter have few words twice: nothing is kept.
const KEPT_FROM_BYTES: usize = 512;

/// Longer pieces are rare and aren't kept: the last of 16 bytes is the length.
const PIECE_BYTES_MAX: usize = 15;

/// A key's length takes the lower half of its last byte; in a slot, the tokens,
/// which are no more than the bytes, take the upper half.
const TOKENS_BITS: u32 = 4;
const TOKENS_SHIFT: u32 = u128::BITS - TOKENS_BITS;

/// Pieces and their counts.
#[derive(Debug)]
pub struct KnownPieces {
    /// Keys, each with its tokens; 0 where empty.
    slots: Vec<u128>,
    /// How many there will be: a power of two, or none.
    slots_len: usize,
}

impl KnownPieces {
    /// For texts of so many bytes: a short one has few pieces, and its table is
    /// not to cost more than counting it.
    pub(super) fn for_bytes(bytes: usize) -> Self {
        let slots_len = match bytes {
            ..KEPT_FROM_BYTES => 0,
            _ => (bytes / 4).min(SLOTS_MAX).next_power_of_two(),
        };
        Self {
            slots: Vec::new(),
            slots_len,
        }
    }

    /// The tokens of a piece, counted where it isn't known.
    pub(super) fn tokens(&mut self, key: u128, count: impl FnOnce() -> u64) -> u64 {
        if self.slots.len() < self.slots_len {
            self.slots = vec![0; self.slots_len];
        }
        let mask = self.slots.len().saturating_sub(1);
        let Some(slot) = self.slots.get_mut(spread(key) & mask) else {
            return count();
        };
        if *slot << TOKENS_BITS == key << TOKENS_BITS {
            return u64::try_from(*slot >> TOKENS_SHIFT).unwrap_or(0);
        }
        let tokens = count();
        *slot = key | u128::from(tokens) << TOKENS_SHIFT;
        tokens
    }
}

/// A piece of a text as a number: its bytes, and its length behind them. `None`
/// where it is too long, or empty.
pub(super) fn key(text: &[u8], piece: Range<usize>) -> Option<u128> {
    let bytes = piece.len();
    if bytes == 0 {
        return None;
    }
    let (used, length) = LENGTHS.get(bytes)?;
    let rest = text.get(piece.start..)?;
    let window = match rest.first_chunk() {
        Some(window) => u128::from_le_bytes(*window),
        None => last_window(rest),
    };
    Some(window & used | length)
}

/// By length: the bits of a key that are a piece's bytes, and its length.
static LENGTHS: [(u128, u128); PIECE_BYTES_MAX + 1] = {
    let mut lengths = [(0, 0); PIECE_BYTES_MAX + 1];
    let mut bytes = 1;
    while bytes <= PIECE_BYTES_MAX {
        let used = u128::MAX >> (u128::BITS as usize - 8 * bytes);
        lengths[bytes] = (used, (bytes as u128) << (8 * PIECE_BYTES_MAX));
        bytes += 1;
    }
    lengths
};

/// The last bytes of a text, with zeros behind them.
fn last_window(rest: &[u8]) -> u128 {
    let mut window = [0; PIECE_BYTES_MAX + 1];
    for (byte, of) in window.iter_mut().zip(rest) {
        *byte = *of;
    }
    u128::from_le_bytes(window)
}

/// Spreads a key over the numbers below 2^24.
pub(super) fn spread(key: u128) -> usize {
    let folded = (key ^ (key >> 61)) & u128::from(u64::MAX);
    let spread = u64::try_from(folded)
        .unwrap_or(0)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(spread >> 40).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_piece_wherever_that_stands() {
        let text: Vec<u8> = (0..60_u8).map(|at| at % 7).collect();
        let mut keys = std::collections::HashMap::new();
        for start in 0..text.len() {
            for end in start..text.len() {
                let piece = text.get(start..end).expect("within");
                let found = key(&text, start..end);
                assert_eq!(found, key(piece, 0..piece.len()), "{start}..{end}");
                assert_eq!(found.is_some(), (1..=15).contains(&piece.len()));
                if let Some(found) = found {
                    assert_eq!(*keys.entry(found).or_insert(piece), piece);
                }
            }
        }
        assert!(keys.len() > 90, "{}", keys.len());
    }

    #[test]
    fn what_is_known_is_what_was_counted() {
        let mut known = KnownPieces::for_bytes(512);
        let mut counted = 0;
        for round in 0..2 {
            for piece in 0..200_u8 {
                let text = vec![piece; 1 + usize::from(piece) % 15];
                let key = key(&text, 0..text.len()).expect("short");
                let tokens = text.len() as u64;
                let count = || {
                    counted += 1;
                    tokens
                };
                assert_eq!(known.tokens(key, count), tokens);
                assert_eq!(known.tokens(key, || 99), tokens, "{round}");
            }
        }
        // There are fewer slots than pieces.
        assert!(counted > 200, "{counted}");
        assert_eq!(known.slots.len(), 128);
    }

    #[test]
    fn of_short_texts_nothing_is_known() {
        let mut known = KnownPieces::for_bytes(511);
        let key = key(b"word", 0..4).expect("short");
        assert_eq!([1, 2].map(|tokens| known.tokens(key, || tokens)), [1, 2]);
    }
}
