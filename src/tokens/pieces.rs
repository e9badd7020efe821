//! Splitting ASCII into pieces, as a vocabulary's pattern splits it: no token
//! spans two of them.
//!
//! The patterns are regular expressions over all of Unicode (OpenAI's
//! `tiktoken`, `tiktoken_ext/openai_public.py`), and to match them takes an
//! engine more than half of the time that counting takes. Over ASCII they come
//! to a few runs of bytes of one class.
//!
//! Always holds: a piece that is found is the one that the pattern finds at the
//! same place; where a byte beyond ASCII has a say in it, none is found, and
//! the pattern is to be asked; the look at one piece ends with the run of
//! blanks, or with the byte, behind it.

/// What decides how a vocabulary splits ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pattern {
    /// A word ends before an upper-case letter that follows a lower-case one,
    /// and takes its contraction with it; punctuation takes slashes behind its
    /// line breaks. Where not, a contraction is a piece of its own.
    cased: bool,
    /// Digits that are a piece together.
    digits_max: usize,
}

/// Classes of bytes, a bit each.
const UPPER: u8 = 1;
const LOWER: u8 = 1 << 1;
const DIGIT: u8 = 1 << 2;
/// Carriage return and line feed.
const BREAK: u8 = 1 << 3;
/// The other white space.
const BLANK: u8 = 1 << 4;
/// The rest of ASCII: punctuation and what controls.
const SIGN: u8 = 1 << 5;
const SLASH: u8 = 1 << 6;
/// Part of a character beyond ASCII.
const BEYOND: u8 = 1 << 7;
const NONE: u8 = 0;

const LETTER: u8 = UPPER | LOWER;
const WHITE: u8 = BREAK | BLANK;

static CLASSES: [u8; 256] = {
    let mut classes = [BEYOND; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => DIGIT,
            b'\r' | b'\n' => BREAK,
            b' ' | b'\t' | 0x0b | 0x0c => BLANK,
            b'/' => SIGN | SLASH,
            _ => SIGN,
        };
        byte += 1;
    }
    classes
};

/// The class of the byte at a place; behind the end, none.
fn class(text: &[u8], at: usize) -> u8 {
    text.get(at)
        .map_or(NONE, |byte| CLASSES[usize::from(*byte)])
}

/// The end of the run of bytes of some classes from a place on.
fn run(text: &[u8], mut at: usize, classes: u8) -> usize {
    while class(text, at) & classes != 0 {
        at += 1;
    }
    at
}

/// The end of the run of lower-case letters from a place on, where bits that
/// `SET` has are taken to be set: with [`CASE`], of any letters. Eight bytes at
/// a time, since most words are shorter and no two of a length in a row.
fn letters_end<const SET: u64>(text: &[u8], mut at: usize) -> usize {
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let eight = u64::from_le_bytes(*eight);
        // Of each byte, the highest bit tells; sums stay within their bytes.
        let low = (eight | SET) & !HIGH;
        let from_a = low + (0x80 - u64::from(b'a')) * EACH;
        let above_z = low + (0x7f - u64::from(b'z')) * EACH;
        let other = !(from_a & !above_z & !eight) & HIGH;
        if other != 0 {
            return at + other.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    match SET {
        0 => run(text, at, LOWER),
        _ => run(text, at, LETTER),
    }
}

const EACH: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = 0x80 * EACH;
/// The bit that tells a lower-case letter from its upper-case one.
const CASE: u64 = 0x20 * EACH;

impl Pattern {
    pub(super) const O200K_BASE: Self = Self {
        cased: true,
        digits_max: 3,
    };
    pub(super) const CL100K_BASE: Self = Self {
        cased: false,
        digits_max: 3,
    };
    pub(super) const VOYAGE3_BASE: Self = Self {
        cased: false,
        digits_max: 1,
    };

    /// Where the piece ends that begins at `start`, which is before the end of
    /// the text. `None` where that can't be told from ASCII alone.
    pub(super) fn piece_end(self, text: &[u8], start: usize) -> Option<usize> {
        let first = class(text, start);
        if first & BEYOND != 0 {
            return None;
        }
        if !self.cased && text.get(start) == Some(&b'\'') {
            let end = contraction_end(text, start)?;
            if end > start {
                return Some(end);
            }
        }
        if first & DIGIT != 0 {
            return self.number_end(text, start);
        }
        // One byte of any other class, line breaks aside, goes with a word.
        let word = start + usize::from(first & (LETTER | BREAK) == 0);
        let next = class(text, word);
        if next & LETTER != 0 {
            return self.word_end(text, word);
        }
        if next & BEYOND != 0 {
            return None;
        }
        if first & SIGN != 0 || next & SIGN != 0 && text.get(start) == Some(&b' ') {
            return self.signs_end(text, word);
        }
        white_end(text, start)
    }

    /// The end of a word of which letters begin at `start`.
    fn word_end(self, text: &[u8], start: usize) -> Option<usize> {
        let end = match self.cased {
            true => letters_end::<0>(text, run(text, start, UPPER)),
            false => letters_end::<CASE>(text, start),
        };
        match text.get(end) {
            Some(b'\'') if self.cased => contraction_end(text, end),
            Some(0x80..) => None,
            _ => Some(end),
        }
    }

    fn number_end(self, text: &[u8], start: usize) -> Option<usize> {
        let most = start + self.digits_max;
        let mut end = start;
        while end < most {
            match class(text, end) {
                DIGIT => end += 1,
                BEYOND => return None,
                _ => break,
            }
        }
        Some(end)
    }

    /// The end of punctuation that goes on at `at`, with the line breaks behind.
    fn signs_end(self, text: &[u8], at: usize) -> Option<usize> {
        let end = run(text, at, SIGN);
        match class(text, end) {
            BEYOND => None,
            BREAK => Some(match self.cased {
                true => run(text, end, BREAK | SLASH),
                false => run(text, end, BREAK),
            }),
            _ => Some(end),
        }
    }
}

/// The end of white space that begins at `start`: behind its last line break;
/// without one, before its last blank, which goes with what follows it.
fn white_end(text: &[u8], start: usize) -> Option<usize> {
    let end = run(text, start, WHITE);
    let next = class(text, end);
    if next & BEYOND != 0 {
        return None;
    }
    let white = text.get(start..end).unwrap_or_default();
    Some(
        match white
            .iter()
            .rposition(|byte| CLASSES[usize::from(*byte)] == BREAK)
        {
            Some(last) => start + last + 1,
            None if next == NONE || end - start == 1 => end,
            None => end - 1,
        },
    )
}

/// The end of the contraction that begins with the apostrophe at `at`; `at`
/// where there is none. `None` where the pattern is to be asked, since it takes
/// a long s for an s.
fn contraction_end(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at + 1..).unwrap_or_default();
    match rest {
        [0x80..=0xff, ..] => None,
        [b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => Some(at + 2),
        [b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..] | [b'l' | b'L', b'l' | b'L', ..] => {
            Some(at + 3)
        }
        _ => Some(at),
    }
}

#[cfg(test)]
mod tests;
