//! The tokens of a vocabulary that are whole pieces: a piece that is one of
//! them is one token, by the definition of these vocabularies, and nineteen of
//! twenty pieces of prose are.
//!
//! Always holds: built once, when a vocabulary is loaded; 8 MiB for 200,000
//! tokens, shared by all threads.

use super::known_pieces::{key, spread};

/// Short tokens, each in the first free slot from its own on.
pub(super) struct WholeTokens {
    /// 0 where free. A power of two, at least half of them free.
    slots: Vec<u128>,
}

impl WholeTokens {
    pub(super) fn new<'a>(tokens: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        let mut whole = Self {
            slots: vec![0; (2 * tokens.len().max(1)).next_power_of_two()],
        };
        for key in tokens.filter_map(|token| key(token, 0..token.len())) {
            let place = whole.place(key);
            if let Some(slot) = whole.slots.get_mut(place) {
                *slot = key;
            }
        }
        whole
    }

    /// Whether a piece is a token. `false` for long ones, which may be.
    pub(super) fn have(&self, key: u128) -> bool {
        self.slots.get(self.place(key)) == Some(&key)
    }

    /// Where a token is, or would be.
    fn place(&self, key: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = spread(key) & mask;
        while self
            .slots
            .get(place)
            .is_some_and(|slot| *slot != 0 && *slot != key)
        {
            place = (place + 1) & mask;
        }
        place
    }
}
