//! The texts of a body in strata: short stretches, each of which stands for its
//! bytes, in an order in which any beginning of it is a fair sample.
//!
//! Always holds: together the strata are all texts, each byte in one of them;
//! listing them looks at no text; there are at most [`SLICES_MAX`] besides one
//! for each text; what is counted of one is at most [`BLOCK_BYTES_MAX`] bytes,
//! or one text that is no longer.

use super::cut::RawText;
use super::{Texts, mix};

/// The most bytes that are counted between two looks at the time.
pub(super) const BLOCK_BYTES_MAX: usize = 4096;

/// Texts that together are no longer are cut into few large blocks, as all of
/// them will most likely be counted; others into many small ones, as many small
/// samples tell more than few large ones.
const WHOLE_BYTES: usize = 128 << 10;

/// Half of [`BLOCK_BYTES_MAX`], since a block grows by what a cut is moved.
const LARGE_BYTES: usize = BLOCK_BYTES_MAX / 2;
const SMALL_BYTES: usize = 512;

/// The most slices of long texts; of more bytes than so many small ones hold,
/// only a part of each slice is looked at.
const SLICES_MAX: usize = 1 << 15;

/// Cuts texts into strata.
pub(super) struct Strata {
    list: Vec<Stratum>,
    /// What is counted of a slice.
    block_bytes: usize,
    /// What a slice stands for.
    slice_bytes: usize,
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
struct Stratum {
    /// The first text.
    first: usize,
    /// Where in it a slice begins; `None`: whole texts.
    slice: Option<usize>,
    /// Behind the last text.
    until: usize,
    bytes: usize,
}

/// What is counted for a stratum.
pub(super) struct Block {
    /// The texts to count, of each all or a part.
    pub texts: std::ops::Range<usize>,
    /// The part of the only text.
    pub part: Option<std::ops::Range<usize>>,
    /// Cuts were made where counts don't add up.
    pub rough: bool,
    /// The bytes that it stands for.
    pub bytes: usize,
}

impl Strata {
    pub(super) fn new(texts: &dyn Texts, seed: u64) -> Self {
        let total: usize = (0..texts.len()).map(|index| texts.bytes(index)).sum();
        let (block_bytes, slice_bytes) = if total <= WHOLE_BYTES {
            (LARGE_BYTES, LARGE_BYTES)
        } else {
            (SMALL_BYTES, SMALL_BYTES.max(total.div_ceil(SLICES_MAX)))
        };
        let mut strata = Self {
            list: Vec::with_capacity(total / slice_bytes + 1),
            block_bytes,
            slice_bytes,
            seed,
        };
        strata.fill(texts);
        strata
    }

    fn fill(&mut self, texts: &dyn Texts) {
        let mut group: Option<Stratum> = None;
        for index in 0..texts.len() {
            let bytes = texts.bytes(index);
            if bytes > self.slice_bytes {
                self.list.extend(group.take());
                self.slice(index, bytes);
                continue;
            }
            let until = index + 1;
            let open = group.get_or_insert(Stratum {
                first: index,
                slice: None,
                until,
                bytes: 0,
            });
            open.until = until;
            open.bytes += bytes;
            if open.bytes >= self.block_bytes {
                self.list.extend(group.take());
            }
        }
        self.list.extend(group);
    }

    fn slice(&mut self, index: usize, bytes: usize) {
        let starts = (0..bytes).step_by(self.slice_bytes);
        self.list.extend(starts.map(|start| Stratum {
            first: index,
            slice: Some(start),
            until: index + 1,
            bytes: self.slice_bytes.min(bytes - start),
        }));
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().map(|stratum| stratum.bytes as u64).sum()
    }

    /// Places in the list, each once: those before any point lie evenly over
    /// the list, and at random within each even part of it.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (len, seed) = (self.list.len(), self.seed);
        // One stratum needs no bits.
        let bits = usize::BITS - len.saturating_sub(1).leading_zeros();
        (0..1_usize << bits)
            .map(move |index| scattered(index, bits, seed))
            .filter(move |place| *place < len)
    }

    pub(super) fn block(&self, place: usize, texts: &dyn Texts) -> Option<Block> {
        let stratum = self.list.get(place)?;
        let mut block = Block {
            texts: stratum.first..stratum.until,
            part: None,
            rough: false,
            bytes: stratum.bytes,
        };
        if let Some(start) = stratum.slice {
            let (part, rough) = self.part(start, stratum.bytes, texts.raw(stratum.first));
            if stratum.bytes <= self.block_bytes {
                block.bytes = part.len();
            }
            block.part = Some(part);
            block.rough = rough;
        }
        Some(block)
    }

    /// What is counted of a slice. Each side moves to where it can be cut, in
    /// the same way for the slices on both sides of it.
    fn part(&self, start: usize, bytes: usize, text: RawText) -> (std::ops::Range<usize>, bool) {
        let spare = bytes.saturating_sub(self.block_bytes);
        let start = match spare {
            0 => start,
            _ => start + usize::try_from(mix(self.seed ^ start as u64)).unwrap_or(0) % spare,
        };
        let end = start + bytes.min(self.block_bytes);
        let (from, to) = (
            text.cut(start, self.block_bytes),
            text.cut(end, self.block_bytes),
        );
        (from.at..to.at.max(from.at), !to.additive)
    }
}

/// The van der Corput sequence with nested random flips: the lowest bit of
/// `index` tells in which half a place lies, the next in which half of that,
/// and so on, where each half's sides may be swapped. So each run of 2^n
/// places from a multiple of it has one in each 2^n-th part.
///
/// Source: A. Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences", 1995.
fn scattered(index: usize, bits: u32, seed: u64) -> usize {
    (0..bits).fold(0, |place, bit| {
        let flip = mix(seed ^ ((1 << bit) | place as u64)) & 1;
        let side = (index >> bit) as u64 & 1 ^ flip;
        place << 1 | usize::from(side == 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Plain;
    use std::collections::HashSet;

    #[test]
    fn an_order_has_each_place_once_and_begins_evenly() {
        for len in [0, 1, 2, 3, 64, 100, 1000] {
            let text = "x".repeat(len * SMALL_BYTES);
            let mut strata = Strata::new(&Plain(&[&text]), 7);
            strata.list.truncate(len);
            let order: Vec<usize> = strata.order().collect();
            assert_eq!(order.iter().collect::<HashSet<_>>().len(), strata.len());
            assert_eq!(order.len(), strata.len());
        }
        let quarters: HashSet<usize> = (0..4).map(|index| scattered(index, 10, 9) >> 8).collect();
        assert_eq!(quarters.len(), 4);
        let seeds: HashSet<usize> = (0..64).map(|seed| scattered(0, 10, seed)).collect();
        assert!(seeds.len() > 32, "{}", seeds.len());
    }

    #[test]
    fn strata_are_all_texts() {
        let long = "Words and more words, ".repeat(30_000);
        let mut texts: Vec<&str> = vec!["tiny"; 10_000];
        texts.insert(5_000, &long);
        let strata = Strata::new(&Plain(&texts), 3);
        let total: usize = texts.iter().map(|text| text.len()).sum();
        assert_eq!(strata.bytes(), total as u64);
        let mut seen = vec![0; texts.len()];
        for place in 0..strata.len() {
            let block = strata.block(place, &Plain(&texts)).expect("in the list");
            assert!(!block.rough);
            let counted: usize = match &block.part {
                Some(part) => {
                    seen[block.texts.start] += part.len();
                    part.len()
                }
                None => block
                    .texts
                    .clone()
                    .map(|index| {
                        seen[index] += texts[index].len();
                        texts[index].len()
                    })
                    .sum(),
            };
            assert!(counted <= BLOCK_BYTES_MAX, "{counted}");
        }
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        assert_eq!(seen, lengths);
    }
}
