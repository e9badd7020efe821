//! The pieces that a call's texts have had so far, with their counts.
//!
//! Texts repeat their words, and to look one up costs a tenth of counting it.
//!
//! Always holds: what is found is what was counted, as whole pieces are
//! compared; memory is at most [`SLOTS_MAX`] slots, fewer for short texts, taken
//! when the first is filled. A piece that falls into another's slot replaces it.

/// Slots for pieces: 32 KiB, which a core's nearest cache holds.
const SLOTS_MAX: usize = 1024;
const SLOTS_MIN: usize = 16;

/// Longer pieces are rare and aren't kept: the last of 16 bytes is the length.
const PIECE_BYTES_MAX: usize = 15;

/// Pieces and their counts.
#[derive(Debug)]
pub struct KnownPieces {
    /// Each with its tokens; 0 where empty.
    slots: Vec<(u128, u64)>,
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
            self.slots = vec![(0, 0); self.slots_len];
        }
        match self.slots.get_mut(spread(key) & (self.slots_len - 1)) {
            Some((known, tokens)) if *known == key => *tokens,
            Some(slot) => {
                let tokens = count();
                *slot = (key, tokens);
                tokens
            }
            None => count(),
        }
    }
}

/// A piece as a number: its bytes, and its length behind them. `None` where it
/// is too long, or empty.
pub(super) fn key(piece: &[u8]) -> Option<u128> {
    let length = u8::try_from(piece.len()).ok()?;
    if piece.len() > PIECE_BYTES_MAX || length == 0 {
        return None;
    }
    let mut bytes = [0; PIECE_BYTES_MAX + 1];
    let (front, _) = bytes.split_at_mut_checked(piece.len())?;
    front.copy_from_slice(piece);
    Some(u128::from_le_bytes(bytes) | u128::from(length) << (8 * PIECE_BYTES_MAX))
}

/// Spreads a key over the numbers below 2^24.
pub(super) fn spread(key: u128) -> usize {
    let folded = (key ^ (key >> 61)) & u128::from(u64::MAX);
    let spread = u64::try_from(folded)
        .unwrap_or(0)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(spread >> 40).unwrap_or(0)
}
