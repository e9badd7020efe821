//! Counting tokens: exact where the vocabulary is public, within a fixed bound
//! of work per call whatever a body holds.
//!
//! A [`Tally`] is told how many bytes are coming. Up to [`EXACT_BYTES_MAX`] it
//! counts all of them. Past that it counts one block of each stratum, chosen by
//! the caller's random seed so that a client can't aim between the samples,
//! and extrapolates.
//!
//! `bpe-openai` counts: it is linear on every input, while the reference
//! implementation, `tiktoken-rs`, panics on a million spaces and needs most of
//! a second for a megabyte of random letters. The reference is the oracle of
//! the tests.

mod block;

use block::Blocks;

/// The public vocabularies that tokens are counted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vocabulary {
    O200kBase,
    Cl100kBase,
}

/// Bytes of text that are counted exactly: about 2 ms of one core.
pub const EXACT_BYTES_MAX: usize = 64 * 1024;

/// What a chat adds around its texts: each message opens and closes with
/// special tokens, a name costs one more, and the answer is primed with three.
/// Source: OpenAI's cookbook, "How to count tokens with tiktoken".
const MESSAGE_TOKENS: u64 = 3;
const NAME_TOKENS: u64 = 1;
const PRIMING_TOKENS: u64 = 3;

/// A finished count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub tokens: u64,
    /// Every byte was counted; where not, `tokens` is extrapolated.
    pub exact: bool,
}

/// A count under way.
#[derive(Debug)]
pub struct Tally {
    vocabulary: Vocabulary,
    /// Blocks of which one is counted; 1: all are.
    stratum_blocks: u64,
    seed: u64,
    block_index: u64,
    tokens: u64,
    counted_bytes: u64,
    skipped_bytes: u64,
}

impl Vocabulary {
    pub fn as_str(self) -> &'static str {
        match self {
            Vocabulary::O200kBase => "o200k_base",
            Vocabulary::Cl100kBase => "cl100k_base",
        }
    }

    fn tokenizer(self) -> &'static bpe_openai::Tokenizer {
        match self {
            Vocabulary::O200kBase => bpe_openai::o200k_base(),
            Vocabulary::Cl100kBase => bpe_openai::cl100k_base(),
        }
    }

    /// Loads the tables, which takes tens of milliseconds, so that no call has
    /// to wait for it.
    pub fn warm(self) {
        self.tokenizer().count("warm");
    }
}

impl Tally {
    /// A count of texts that hold `total_bytes` together. `seed` is random.
    pub fn new(vocabulary: Vocabulary, total_bytes: usize, seed: u64) -> Self {
        let stratum_blocks = total_bytes.div_ceil(EXACT_BYTES_MAX).max(1);
        Self {
            vocabulary,
            stratum_blocks: u64::try_from(stratum_blocks).unwrap_or(u64::MAX),
            seed,
            block_index: 0,
            tokens: 0,
            counted_bytes: 0,
            skipped_bytes: 0,
        }
    }

    /// Counts one text. Texts are separate: no token spans two of them.
    pub fn add(&mut self, text: &str) {
        let tokenizer = self.vocabulary.tokenizer();
        for block in Blocks::new(text) {
            let bytes = block.len() as u64;
            if self.is_sampled() {
                self.tokens += tokenizer.count(block) as u64;
                self.counted_bytes += bytes;
            } else {
                self.skipped_bytes += bytes;
            }
            self.block_index += 1;
        }
    }

    /// What has been counted, the unsampled part extrapolated.
    pub fn finish(self) -> Count {
        if self.skipped_bytes == 0 {
            return Count {
                tokens: self.tokens,
                exact: true,
            };
        }
        // Nothing sampled: a token is at least a byte.
        let skipped_tokens = if self.counted_bytes == 0 {
            u128::from(self.skipped_bytes)
        } else {
            (u128::from(self.tokens) * u128::from(self.skipped_bytes))
                .div_ceil(u128::from(self.counted_bytes))
        };
        Count {
            tokens: self
                .tokens
                .saturating_add(u64::try_from(skipped_tokens).unwrap_or(u64::MAX)),
            exact: false,
        }
    }

    /// Whether the next block is the one of its stratum that is counted.
    fn is_sampled(&self) -> bool {
        if self.stratum_blocks == 1 {
            return true;
        }
        let stratum = self.block_index / self.stratum_blocks;
        let chosen = mix(self.seed ^ stratum) % self.stratum_blocks;
        self.block_index % self.stratum_blocks == chosen
    }
}

/// What a chat of this many messages, names among them, adds to its texts.
pub fn chat_overhead_tokens(messages: u64, names: u64) -> u64 {
    if messages == 0 {
        return 0;
    }
    messages
        .saturating_mul(MESSAGE_TOKENS)
        .saturating_add(names.saturating_mul(NAME_TOKENS))
        .saturating_add(PRIMING_TOKENS)
}

/// Spreads a seed over all bits (the finaliser of SplitMix64).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
