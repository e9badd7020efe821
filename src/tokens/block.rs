//! Cutting a text into blocks of bounded size whose counts add up.
//!
//! A cut is made where no token of the public vocabularies can span it: before
//! a space that follows a letter or digit, or before a line break that follows
//! one. Where a block has no such place it is cut at a character, which can
//! only raise the sum.

/// The most bytes of one block: a bound on the work between two decisions.
pub(super) const BLOCK_BYTES_MAX: usize = 4096;

/// The blocks of one text, in order; together they are the text.
pub(super) struct Blocks<'a> {
    rest: &'a str,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (block, rest) = self.rest.split_at(cut(self.rest));
        self.rest = rest;
        Some(block)
    }
}

/// Where the first block of a text that isn't empty ends: never at 0.
fn cut(text: &str) -> usize {
    if text.len() <= BLOCK_BYTES_MAX {
        return text.len();
    }
    let bytes = text.as_bytes();
    let safe = (BLOCK_BYTES_MAX / 2..=BLOCK_BYTES_MAX)
        .rev()
        .find(|&at| is_safe(bytes.get(at - 1), bytes.get(at)));
    safe.unwrap_or_else(|| text.floor_char_boundary(BLOCK_BYTES_MAX))
}

fn is_safe(before: Option<&u8>, after: Option<&u8>) -> bool {
    matches!((before, after), (Some(before), Some(b' ' | b'\n' | b'\r'))
        if before.is_ascii_alphanumeric())
}
