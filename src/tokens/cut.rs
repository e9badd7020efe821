//! Where a text may be cut so that the counts of its parts add up.
//!
//! A cut is *additive* where no token of the public vocabularies can span it
//! and nothing before it changes how what follows is split. That is so
//! - before a space or tab that follows a non-blank;
//! - before a line break, or before punctuation other than an apostrophe (which
//!   may begin a contraction), where either follows a letter or digit;
//! - between a letter and a digit.
//!
//! Letters are those of ASCII and of Chinese, Japanese and Korean; punctuation
//! is ASCII's and the full-width signs. It follows from the patterns by which
//! the vocabularies split texts into words (OpenAI's `tiktoken`,
//! `tiktoken_ext/openai_public.py`); tests check it against the reference.
//!
//! A text may still be in JSON's escapes, as it stands in a body: then a cut is
//! also never within an escape, as far as the bytes around it tell.

/// A text as it stands in a body, which is known to be UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct RawText<'a> {
    pub bytes: &'a [u8],
    /// Whether it holds JSON's escapes; where not, the bytes are the text.
    pub escaped: bool,
}

/// A place between two characters of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub at: usize,
    /// The counts of both sides add up.
    pub additive: bool,
}

/// The longest escape: `\uXXXX`.
const ESCAPE_BYTES: usize = 6;

/// How far behind `at` a cut between whole escapes is looked for.
const WHOLE_WITHIN: usize = 2 * ESCAPE_BYTES;

impl RawText<'_> {
    /// The last additive cut within `window` bytes up to `at`; where there is
    /// none, the nearest place to `at` that is between two characters. Never
    /// past `at`, and at 0 only if `at` is within the first character.
    pub(super) fn cut(self, at: usize, window: usize) -> Cut {
        let whole = |at| Cut { at, additive: true };
        if at == 0 || at >= self.bytes.len() {
            return whole(at.min(self.bytes.len()));
        }
        let from = at.saturating_sub(window.saturating_sub(1)).max(1);
        if let Some(at) = (from..=at).rev().find(|at| self.is_additive(*at)) {
            return whole(at);
        }
        let near = at.saturating_sub(WHOLE_WITHIN).max(1)..=at;
        let between = near.rev().find(|at| self.is_whole(*at));
        let at = between.unwrap_or_else(|| self.floor_character(at));
        let additive = false;
        Cut { at, additive }
    }

    fn is_additive(self, at: usize) -> bool {
        let (Some(&before), Some(&after)) = (self.bytes.get(at - 1), self.bytes.get(at)) else {
            return false;
        };
        // Most places are ruled out by a look at two bytes.
        if after.is_ascii_alphabetic() && before.is_ascii_alphabetic()
            || after == b'\''
            || is_continuation(after)
        {
            return false;
        }
        match (self.before(at), self.after(at)) {
            (Some(before), Some(after)) => adds_up(before, after),
            _ => false,
        }
    }

    /// The character that ends at `at`; `None` where that can't be told from
    /// the bytes near it.
    fn before(self, at: usize) -> Option<char> {
        let near = self.bytes.get(at.saturating_sub(ESCAPE_BYTES)..at)?;
        if !self.escaped || !near.contains(&b'\\') {
            return last_character(near);
        }
        let before_near = at.checked_sub(ESCAPE_BYTES + 1);
        match near {
            // The backslash begins an escape unless it ends one.
            [b'\\', b'u', digits @ ..] if digits.len() == 4 && !digits.contains(&b'\\') => {
                if before_near.and_then(|at| self.bytes.get(at)) == Some(&b'\\') {
                    return None;
                }
                let digits = std::str::from_utf8(digits).ok()?;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)
            }
            [.., before, b'\\', escape] if *before != b'\\' => short_escape(*escape),
            _ => None,
        }
    }

    /// The character that begins at `at`, if that matters.
    fn after(self, at: usize) -> Option<char> {
        let rest = self.bytes.get(at..)?;
        match rest {
            [b'\\', escape, ..] if self.escaped => short_escape(*escape),
            [b'\\'] if self.escaped => None,
            [first, ..] if first.is_ascii() => Some(char::from(*first)),
            _ => {
                let (first, _) = rest.split_at_checked(3)?;
                std::str::from_utf8(first).ok()?.chars().next()
            }
        }
    }

    /// Whether a character begins at `at`, escaped or not.
    fn is_whole(self, at: usize) -> bool {
        let byte = |at: usize| self.bytes.get(at).copied();
        if byte(at).is_some_and(is_continuation) {
            return false;
        }
        if !self.escaped {
            return true;
        }
        let near = self.bytes.get(at.saturating_sub(ESCAPE_BYTES)..at);
        let plain = near.is_some_and(|near| !near.contains(&b'\\'));
        let starts_escape = byte(at) == Some(b'\\') && byte(at - 1) != Some(b'\\');
        // The second half of a pair belongs to the first.
        let second_half = matches!(
            self.bytes.get(at..),
            Some([b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..])
        );
        plain || (starts_escape && !second_half)
    }

    fn floor_character(self, mut at: usize) -> usize {
        while at > 0 && self.bytes.get(at).copied().is_some_and(is_continuation) {
            at -= 1;
        }
        at
    }
}

/// Whether the counts of both sides of a cut add up.
fn adds_up(before: char, after: char) -> bool {
    let word = before.is_ascii_alphanumeric() || is_east_asian_letter(before);
    match after {
        ' ' | '\t' => !before.is_whitespace(),
        '\n' | '\r' => word,
        '\'' => false,
        '0'..='9' => before.is_ascii_alphabetic(),
        'a'..='z' | 'A'..='Z' => before.is_ascii_digit(),
        after => word && (after.is_ascii_punctuation() || is_east_asian_sign(after)),
    }
}

/// Hiragana, Katakana, Han and Hangul, without their marks.
fn is_east_asian_letter(character: char) -> bool {
    matches!(character,
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// The usual punctuation between such letters: 、。「」『』【】！（），：；？
fn is_east_asian_sign(character: char) -> bool {
    matches!(character,
        '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{ff01}' | '\u{ff08}' | '\u{ff09}'
        | '\u{ff0c}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff1f}')
}

fn short_escape(escape: u8) -> Option<char> {
    match escape {
        b'"' | b'\\' | b'/' => Some(char::from(escape)),
        b'n' => Some('\n'),
        b'r' => Some('\r'),
        b't' => Some('\t'),
        _ => None,
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The last character of bytes that may begin within one.
fn last_character(bytes: &[u8]) -> Option<char> {
    let start = bytes.iter().rposition(|byte| !is_continuation(*byte))?;
    let last = std::str::from_utf8(bytes.get(start..)?).ok()?;
    last.chars().next()
}
