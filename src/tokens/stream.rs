//! Counting an answer as it is said.
//!
//! Text waits in a short tail and is counted up to the last place where counts
//! add up, so that the sum is the count of the whole text, however it was cut
//! into pieces.
//!
//! Always holds: what waits is at most [`TAIL_BYTES_MAX`] and a piece; each
//! byte is counted once.

use super::Vocabulary;
use super::counting::{Counting, Plain, count};
use super::cut::RawText;
use super::known_pieces::KnownPieces;
use super::strata::BLOCK_BYTES_MAX;

/// Text that waits before it is counted. Most answers bring their usage and end
/// below this, so nothing is counted for them at all.
pub const TAIL_BYTES_MAX: usize = BLOCK_BYTES_MAX;

/// A piece that is longer is counted as a prompt is, within a bound of time.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// A count of one text that comes in pieces.
#[derive(Debug)]
pub struct StreamCount {
    vocabulary: Vocabulary,
    tail: String,
    tokens: u64,
    /// All cuts were where counts add up, and all was counted.
    exact: bool,
}

impl StreamCount {
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self {
            vocabulary,
            tail: String::new(),
            tokens: 0,
            exact: true,
        }
    }

    pub fn push(&mut self, piece: &str, counting: &Counting) {
        if self.tail.len().saturating_add(piece.len()) > PIECE_BYTES_MAX {
            self.long(piece, counting);
            return;
        }
        self.tail.push_str(piece);
        while self.tail.len() > TAIL_BYTES_MAX {
            let raw = RawText {
                bytes: self.tail.as_bytes(),
                escaped: false,
            };
            let cut = raw.cut(TAIL_BYTES_MAX, TAIL_BYTES_MAX);
            self.exact &= cut.additive;
            self.front(cut.at);
        }
    }

    /// Another text begins: no token spans what came before and what follows.
    pub fn cut(&mut self) {
        self.front(self.tail.len());
    }

    /// The tokens of all that was pushed, and whether that is exact.
    pub fn finish(mut self) -> (u64, bool) {
        self.cut();
        (self.tokens, self.exact)
    }

    /// Counts the tail up to `end`.
    fn front(&mut self, end: usize) {
        let front = self.tail.get(..end).unwrap_or(&self.tail);
        if !front.is_empty() {
            let mut known = KnownPieces::for_bytes(front.len());
            self.tokens = self
                .tokens
                .saturating_add(self.vocabulary.tokenizer().count(front, &mut known));
        }
        let end = front.len();
        self.tail.replace_range(..end, "");
    }

    fn long(&mut self, piece: &str, counting: &Counting) {
        let texts = [&*self.tail, piece].concat();
        let counted = count(self.vocabulary, &Plain(&[&texts]), counting);
        self.tokens = self.tokens.saturating_add(counted.tokens);
        // Nor is it known what the next piece goes on with.
        self.exact = false;
        self.tail.clear();
    }
}
