//! What stands between the quotes of a JSON string: running over it, checking
//! its escapes, undoing them.

use super::JsonError;

/// Bytes looked at in one step: the compiler makes vector instructions of it.
const STEP_BYTES: usize = 32;

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
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
    for (index, step) in steps.iter().enumerate() {
        // No early exit within a step: that is what lets it be one comparison.
        let any = step.iter().fold(false, |any, byte| any | is_special(*byte));
        if any {
            return index * STEP_BYTES + until_special(step);
        }
    }
    steps.len() * STEP_BYTES + until_special(rest)
}

fn until_special(bytes: &[u8]) -> usize {
    let plain = |byte: &u8| !is_special(*byte);
    bytes
        .iter()
        .position(|byte| !plain(byte))
        .unwrap_or(bytes.len())
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < b' ')
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
