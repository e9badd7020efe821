//! What stands between the quotes of a JSON string: running over it, checking
//! its escapes, undoing them.

use super::JsonError;

/// Bytes looked at in one step.
const WORD_BYTES: usize = size_of::<u64>();

/// What is wrong with an escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EscapeFault {
    Invalid,
    LoneSurrogate,
    /// The body ends within it.
    End,
}

impl EscapeFault {
    pub(super) fn at(self, at: usize) -> JsonError {
        match self {
            EscapeFault::Invalid => JsonError::Escape { at },
            EscapeFault::LoneSurrogate => JsonError::LoneSurrogate { at },
            EscapeFault::End => JsonError::End,
        }
    }
}

/// How many bytes at the start of `bytes` stand for themselves: up to the
/// first quote, backslash or control character.
pub(in crate::protocol) fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<WORD_BYTES>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bits(u64::from_le_bytes(*word));
        if special != 0 {
            // The lowest bit set is that of the first such byte.
            return index * WORD_BYTES + (special.trailing_zeros() / u8::BITS) as usize;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let plain = tail.iter().position(is_special).unwrap_or(tail.len());
    words.len() * WORD_BYTES + plain
}

/// Sets the high bit of each byte of `word` that is a quote, a backslash or a
/// control character. Above the lowest such byte, others may be marked too: a
/// subtraction borrows from there.
fn special_bits(word: u64) -> u64 {
    let each = |byte: u8| u64::from_ne_bytes([byte; WORD_BYTES]);
    // Sets the high bit of bytes below `bound`, which is at most 0x80.
    let below = |word: u64, bound: u8| word.wrapping_sub(each(bound)) & !word;
    let quote = below(word ^ each(b'"'), 1);
    let backslash = below(word ^ each(b'\\'), 1);
    (quote | backslash | below(word, b' ')) & each(0x80)
}

/// The character that the escape at the start of `bytes` stands for, and how
/// many bytes it takes (a surrogate pair is one escape).
pub(super) fn escape(bytes: &[u8]) -> Result<(char, usize), EscapeFault> {
    let character = match bytes.get(1).ok_or(EscapeFault::End)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(bytes),
        _ => return Err(EscapeFault::Invalid),
    };
    Ok((character, 2))
}

fn unicode_escape(bytes: &[u8]) -> Result<(char, usize), EscapeFault> {
    let unit = hex_digits(bytes.get(2..6).ok_or(EscapeFault::End)?)?;
    if let Some(character) = char::from_u32(unit) {
        return Ok((character, 6));
    }
    // Only surrogates are no characters.
    let Some([b'\\', b'u', second @ ..]) = bytes.get(6..12) else {
        return Err(EscapeFault::LoneSurrogate);
    };
    let low = hex_digits(second)?;
    match (unit, low) {
        (0xd800..=0xdbff, 0xdc00..=0xdfff) => {
            let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            let character = char::from_u32(code).ok_or(EscapeFault::LoneSurrogate)?;
            Ok((character, 12))
        }
        _ => Err(EscapeFault::LoneSurrogate),
    }
}

fn hex_digits(digits: &[u8]) -> Result<u32, EscapeFault> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16);
        digit
            .map(|digit| (value << 4) | digit)
            .ok_or(EscapeFault::Invalid)
    })
}

/// Writes the text of `raw` behind `out`. `raw` has been checked; an escape
/// that could not be undone would be left out.
pub(super) fn unescape(mut raw: &str, out: &mut String) {
    while let Some((plain, tail)) =
        memchr::memchr(b'\\', raw.as_bytes()).and_then(|at| raw.split_at_checked(at))
    {
        out.push_str(plain);
        let bytes = match escape(tail.as_bytes()) {
            Ok((character, bytes)) => {
                out.push(character);
                bytes
            }
            Err(_) => 1,
        };
        raw = tail.get(bytes..).unwrap_or_default();
    }
    out.push_str(raw);
}
