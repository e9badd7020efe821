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
const SLOTS_MIN: usize = 16;

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
    /// How many there will be: a power of two.
    slots_len: usize,
}

impl KnownPieces {
    /// For texts of so many bytes: a short one has few pieces, and its table is
    /// not to cost more than counting it.
    pub(super) fn for_bytes(bytes: usize) -> Self {
        let pieces = (bytes / 4).clamp(SLOTS_MIN, SLOTS_MAX);
        Self {
            slots: Vec::new(),
            slots_len: pieces.next_power_of_two(),
        }
    }

    /// The tokens of a piece, counted where it isn't known.
    pub(super) fn tokens(&mut self, key: u128, count: impl FnOnce() -> u64) -> u64 {
        if self.slots.is_empty() {
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
