//! Counting the texts of a call within a bound of time.
//!
//! As long as the time lasts, every byte is counted. When it is over, what is
//! left is extrapolated from what was counted, and bounded from above by its
//! spread.
//!
//! Always holds: the time is overrun by one block at most; a count that is not
//! exact says so; which stretches were counted can't be foretold by whoever
//! wrote the texts.

use super::cut::RawText;
use super::known_pieces::KnownPieces;
use super::strata::{Block, Strata};
use super::{Tokenizer, Vocabulary};
use std::fmt;
use std::sync::Arc;

/// The time that one call's texts may take, in nanoseconds.
///
/// 64 KiB of prose or code is to be counted exactly in less than 2 ms, which
/// takes a quarter of it for prose and half of it for code, so that a busy
/// machine reaches it too; and no call may keep a core from others for long.
pub const COUNTING_NANOS: u64 = 1_900_000;

/// Blocks of a kind that none of those seen was of, as many as stay unseen by
/// chance in one case of a hundred (ln 100 = 4.6).
const MISSED_BLOCKS: u64 = 5;

/// Standard deviations that an upper bound allows for, and how many more where
/// there are few blocks: so many, divided by the blocks.
const DEVIATIONS: u64 = 3;
const FEW_BLOCKS: u64 = 24;

/// Tells how time passes.
pub trait Stopwatch: fmt::Debug + Send + Sync {
    /// Nanoseconds since any fixed moment; never less than before.
    fn nanos(&self) -> u64;
}

/// Stands still: for whoever has all the time that it takes.
#[derive(Debug, Clone, Copy)]
pub struct Standstill;

impl Stopwatch for Standstill {
    fn nanos(&self) -> u64 {
        0
    }
}

/// What counting needs from outside.
#[derive(Debug, Clone)]
pub struct Counting {
    /// Random: which stretches are counted where there is no time for all.
    pub seed: u64,
    pub stopwatch: Arc<dyn Stopwatch>,
    /// The time that it may take.
    pub nanos_max: u64,
}

/// Texts as they stand in a body.
pub trait Texts {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long a text is, as it stands.
    fn bytes(&self, index: usize) -> usize;

    fn raw(&self, index: usize) -> RawText<'_>;

    /// Undoes the escapes of a part of a text, behind `out`. The part may begin
    /// or end within an escape, of which then anything may become.
    fn unescape(&self, raw: &str, out: &mut String);
}

impl Counting {
    /// Counts everything, however long it takes.
    pub fn unbounded() -> Self {
        Self::new(0, Arc::new(Standstill))
    }

    /// With the usual time.
    pub fn new(seed: u64, stopwatch: Arc<dyn Stopwatch>) -> Self {
        let nanos_max = COUNTING_NANOS;
        Self {
            seed,
            stopwatch,
            nanos_max,
        }
    }
}

/// Texts that stand for themselves.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a>(pub &'a [&'a str]);

impl Texts for Plain<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self, index: usize) -> usize {
        self.0.get(index).map_or(0, |text| text.len())
    }

    fn raw(&self, index: usize) -> RawText<'_> {
        RawText {
            bytes: self.0.get(index).map_or(&[], |text| text.as_bytes()),
            escaped: false,
        }
    }

    fn unescape(&self, raw: &str, out: &mut String) {
        out.push_str(raw);
    }
}

/// A finished count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// The best estimate.
    pub tokens: u64,
    /// Every byte was counted, between places where counts add up.
    pub exact: bool,
    /// Hardly ever exceeded: what may be held for it. Where exact, `tokens`.
    pub upper: u64,
}

/// Counts texts. They are separate: no token spans two of them.
pub fn count(vocabulary: Vocabulary, texts: &dyn Texts, counting: &Counting) -> Count {
    let began = counting.stopwatch.nanos();
    let strata = Strata::new(texts, counting.seed);
    let mut sample = Sample::default();
    let mut reader = Reader {
        tokenizer: vocabulary.tokenizer(),
        texts,
        known: KnownPieces::for_bytes(usize::try_from(strata.bytes()).unwrap_or(usize::MAX)),
        scratch: String::new(),
    };
    for place in strata.order() {
        if let Some(block) = strata.block(place, texts) {
            let (tokens, bytes) = reader.count(&block);
            sample.add(&block, tokens, bytes);
        }
        let spent = counting.stopwatch.nanos().saturating_sub(began);
        if spent >= counting.nanos_max {
            break;
        }
    }
    sample.extrapolated(strata.len() as u64, strata.bytes())
}

struct Reader<'a> {
    tokenizer: &'static dyn Tokenizer,
    texts: &'a dyn Texts,
    known: KnownPieces,
    /// Where escapes are undone.
    scratch: String,
}

impl Reader<'_> {
    /// Tokens of a block, and the bytes that were counted for it.
    fn count(&mut self, block: &Block) -> (u64, u64) {
        let (mut tokens, mut bytes) = (0, 0);
        for index in block.texts.clone() {
            let raw = self.texts.raw(index);
            let part = match &block.part {
                Some(part) => raw.bytes.get(part.clone()).unwrap_or_default(),
                None => raw.bytes,
            };
            bytes += part.len() as u64;
            // Of a body that isn't UTF-8 each byte is a token.
            let Ok(part_text) = simdutf8::basic::from_utf8(part) else {
                tokens += part.len() as u64;
                continue;
            };
            tokens += if raw.escaped && part.contains(&b'\\') {
                self.scratch.clear();
                self.texts.unescape(part_text, &mut self.scratch);
                self.tokenizer.count(&self.scratch, &mut self.known)
            } else {
                self.tokenizer.count(part_text, &mut self.known)
            };
        }
        (tokens, bytes)
    }
}

/// The blocks that were counted, each with the bytes that it stands for and
/// its tokens in proportion to them.
#[derive(Debug, Default)]
struct Sample {
    blocks: u64,
    /// Blocks that end where counts don't add up.
    rough: u64,
    /// Some of the bytes that blocks stand for were not counted.
    partial: bool,
    bytes: u64,
    tokens: u64,
    /// Sums of squares and of products.
    bytes_squared: u128,
    tokens_squared: u128,
    tokens_by_bytes: u128,
}

impl Sample {
    fn add(&mut self, block: &Block, tokens: u64, counted_bytes: u64) {
        let bytes = block.bytes as u64;
        let tokens = share(tokens, bytes, counted_bytes);
        self.partial |= bytes != counted_bytes;
        self.blocks += 1;
        self.rough += u64::from(block.rough);
        self.bytes += bytes;
        self.tokens += tokens;
        let (bytes, tokens) = (u128::from(bytes), u128::from(tokens));
        self.bytes_squared += bytes * bytes;
        self.tokens_squared += tokens * tokens;
        self.tokens_by_bytes += tokens * bytes;
    }

    /// What all blocks come to, where these are some of them.
    fn extrapolated(&self, blocks: u64, bytes: u64) -> Count {
        let unseen_blocks = blocks.saturating_sub(self.blocks);
        if unseen_blocks == 0 && !self.partial {
            // A cut that splits a token may cost one more, or hide one.
            return Count {
                tokens: self.tokens,
                exact: self.rough == 0,
                upper: self.tokens + self.rough,
            };
        }
        let unseen_bytes = bytes.saturating_sub(self.bytes);
        let tokens = self.tokens + share(self.tokens, unseen_bytes, self.bytes);
        let doubt = self.doubt(blocks, unseen_blocks, unseen_bytes);
        Count {
            tokens,
            exact: false,
            upper: tokens.saturating_add(self.rough).saturating_add(doubt),
        }
    }

    /// What the unseen part may have beyond its share: some standard deviations
    /// of the blocks' residuals from it, and, as blocks of another kind may
    /// have been missed, some more blocks that have a token in each byte.
    fn doubt(&self, blocks: u64, unseen_blocks: u64, unseen_bytes: u64) -> u64 {
        let seen = self.blocks;
        if seen < 2 || self.bytes == 0 {
            // A token is at least a byte.
            return unseen_bytes.saturating_sub(share(self.tokens, unseen_bytes, self.bytes));
        }
        let one = (self.bytes / seen).saturating_mul(MISSED_BLOCKS);
        let missed = share(self.tokens + one, unseen_bytes, self.bytes + one)
            .saturating_sub(share(self.tokens, unseen_bytes, self.bytes));
        // Variance of the unseen part's tokens, as predicted from the seen part:
        // s^2 * unseen * all / seen, where s^2 is the residuals' variance.
        let spread = self
            .residual_squares()
            .saturating_mul(u128::from(blocks.max(seen)))
            .saturating_mul(u128::from(unseen_blocks.max(1)))
            / (u128::from(seen) * u128::from(seen - 1));
        let deviation = u64::try_from(spread.isqrt()).unwrap_or(u64::MAX);
        // Few blocks tell little of their own spread.
        let deviations = deviation.saturating_mul(DEVIATIONS * seen + FEW_BLOCKS) / seen;
        missed.saturating_add(deviations)
    }

    /// The sum of squares of what each block's tokens are off its share.
    fn residual_squares(&self) -> u128 {
        let (bytes, tokens) = (u128::from(self.bytes), u128::from(self.tokens));
        let squares = (self
            .tokens_squared
            .saturating_mul(bytes.saturating_mul(bytes)))
        .saturating_add(
            self.bytes_squared
                .saturating_mul(tokens.saturating_mul(tokens)),
        );
        let products =
            (self.tokens_by_bytes.saturating_mul(2)).saturating_mul(tokens.saturating_mul(bytes));
        squares.saturating_sub(products) / bytes.saturating_mul(bytes).max(1)
    }
}

/// As much of `tokens`, which are in `of` bytes, as is in `bytes`, rounded up.
fn share(tokens: u64, bytes: u64, of: u64) -> u64 {
    if of == 0 {
        return 0;
    }
    let share = (u128::from(tokens) * u128::from(bytes)).div_ceil(u128::from(of));
    u64::try_from(share).unwrap_or(u64::MAX)
}
