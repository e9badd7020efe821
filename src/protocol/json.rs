//! A pull scanner over one whole JSON body: what stands where, without
//! building anything.
//!
//! A [`Scanner`] walks the bytes once and hands out byte ranges. Callers open
//! what they understand and [`Scanner::skip_value`] the rest.
//!
//! Always holds: what is accepted is strict RFC 8259 in valid UTF-8, skipped
//! values included, and holds no lone surrogate; nothing here recurses, and
//! nothing allocates but the unescaping of keys. Nesting is at most
//! [`DEPTH_MAX`]. What is kept of a body is spans, so memory does not grow
//! with it.
//!
//! Left to others: what the fields mean, and which of them may not repeat.

mod number;
mod string;
mod text;

pub use text::{text, text_in, unescape};

use super::TextSpan;
use std::borrow::Cow;
use std::ops::Range;
pub(super) use string::plain_bytes;

/// The deepest nesting of arrays and objects that is read. No request of a
/// provider comes near it; parsers behind weir may recurse.
pub const DEPTH_MAX: u32 = 64;

/// Why bytes are not JSON as weir takes it. Positions are byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("it is not valid UTF-8 (byte {at})")]
    Utf8 { at: usize },
    #[error("it begins with a byte order mark")]
    ByteOrderMark,
    #[error("it ends too early")]
    End,
    #[error("{expected} was expected at byte {at}")]
    Unexpected { expected: &'static str, at: usize },
    #[error("it is nested deeper than {DEPTH_MAX} levels (byte {at})")]
    TooDeep { at: usize },
    #[error("a string holds an unescaped control character (byte {at})")]
    ControlCharacter { at: usize },
    #[error("a string holds an invalid escape (byte {at})")]
    Escape { at: usize },
    #[error("a string holds half of a surrogate pair (byte {at})")]
    LoneSurrogate { at: usize },
    #[error("a number is malformed (byte {at})")]
    Number { at: usize },
    #[error("something follows the end of the JSON value (byte {at})")]
    Trailing { at: usize },
}

/// What kind of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// An array or object that has been opened, for [`Scanner::next_item`] or
/// [`Scanner::next_key`].
#[derive(Debug)]
pub struct Open {
    /// Nothing has been read of it yet.
    first: bool,
}

/// Walks one body from its first byte to its last.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// Where keys are unescaped; only touched by keys with escapes.
    scratch: String,
}

impl<'a> Scanner<'a> {
    /// Checks that `body` is UTF-8 and stands before its first value.
    pub fn new(body: &'a [u8]) -> Result<Self, JsonError> {
        let text = simdutf8::basic::from_utf8(body).map_err(|_| not_utf8(body))?;
        if text.starts_with('\u{feff}') {
            return Err(JsonError::ByteOrderMark);
        }
        Ok(Self {
            text,
            at: 0,
            depth: 0,
            scratch: String::new(),
        })
    }

    /// Where the scanner stands: on the next value after [`Scanner::peek`],
    /// just behind the brace or bracket after opening.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The kind of the value that comes next, without reading it.
    pub fn peek(&mut self) -> Result<Kind, JsonError> {
        match self.next_byte()? {
            b'"' => Ok(Kind::String),
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b't' => Ok(Kind::True),
            b'f' => Ok(Kind::False),
            b'n' => Ok(Kind::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Whether the value that comes next begins with this byte.
    pub fn peeks_at(&mut self, byte: u8) -> bool {
        self.next_byte() == Ok(byte)
    }

    /// Whether the value that comes next is a string that holds nothing.
    pub fn peeks_at_empty_string(&mut self) -> bool {
        self.peeks_at(b'"') && self.rest().starts_with(b"\"\"")
    }

    pub fn open_object(&mut self) -> Result<Open, JsonError> {
        self.enter(b'{', "an object")
    }

    pub fn open_array(&mut self) -> Result<Open, JsonError> {
        self.enter(b'[', "an array")
    }

    /// The next key, with the scanner before its value; `None` where the
    /// object has ended. The value must be read or skipped before the next call.
    pub fn next_key(&mut self, open: &mut Open) -> Result<Option<TextSpan>, JsonError> {
        if !self.next_entry(open, b'}', "a comma or a closing brace")? {
            return Ok(None);
        }
        self.key().map(Some)
    }

    /// Whether another item follows, with the scanner before it. The item must
    /// be read or skipped before the next call.
    pub fn next_item(&mut self, open: &mut Open) -> Result<bool, JsonError> {
        self.next_entry(open, b']', "a comma or a closing bracket")
    }

    /// Reads a string: the span of its content.
    pub fn string(&mut self) -> Result<TextSpan, JsonError> {
        if self.next_byte()? != b'"' {
            return Err(self.unexpected("a string"));
        }
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += string::plain_bytes(self.rest());
            match self.rest().first() {
                Some(b'"') => {
                    let span = start..self.at;
                    self.at += 1;
                    return Ok(TextSpan { span, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    let (_, bytes) = string::escape(self.rest()).map_err(|e| e.at(self.at))?;
                    self.at += bytes;
                }
                Some(_) => return Err(JsonError::ControlCharacter { at: self.at }),
                None => return Err(JsonError::End),
            }
        }
    }

    /// Reads a value of any kind, whatever it holds, and gives its span.
    pub fn skip_value(&mut self) -> Result<Range<usize>, JsonError> {
        let kind = self.peek()?;
        let start = self.at;
        if !matches!(kind, Kind::Object | Kind::Array) {
            self.scalar(kind)?;
            return Ok(start..self.at);
        }
        let outer = self.depth;
        // One bit a level, the innermost lowest: set where it is an object.
        // DEPTH_MAX is the number of bits.
        let mut objects: u64 = 0;
        loop {
            match self.peek()? {
                Kind::Object => {
                    self.open_object()?;
                    objects = (objects << 1) | 1;
                    if self.next_byte()? != b'}' {
                        self.key()?;
                        continue;
                    }
                }
                Kind::Array => {
                    self.open_array()?;
                    objects <<= 1;
                    if self.next_byte()? != b']' {
                        continue;
                    }
                }
                kind => self.scalar(kind)?,
            }
            self.close_ended(outer, &mut objects)?;
            if self.depth == outer {
                return Ok(start..self.at);
            }
        }
    }

    /// Checks that nothing but white space follows.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        match self.rest() {
            [] => Ok(()),
            _ => Err(JsonError::Trailing { at: self.at }),
        }
    }

    /// A string's text. For keys: it is short, and good until the next call.
    pub fn key_text(&mut self, key: &TextSpan) -> &str {
        let raw = self.text.get(key.span.clone()).unwrap_or_default();
        if !key.escaped {
            return raw;
        }
        self.scratch.clear();
        string::unescape(raw, &mut self.scratch);
        &self.scratch
    }

    /// A string's text, borrowed from the body where it holds no escapes.
    pub fn text(&self, span: &TextSpan) -> Cow<'a, str> {
        text::unescaped(self.text.get(span.span.clone()).unwrap_or_default(), span)
    }

    /// The bytes of a span of this body.
    pub fn bytes(&self, span: &Range<usize>) -> &'a [u8] {
        self.text.as_bytes().get(span.clone()).unwrap_or_default()
    }
}

/// How values are walked.
impl Scanner<'_> {
    #[inline]
    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.rest(), [b' ' | b'\n' | b'\r' | b'\t', ..]) {
            self.at += 1;
        }
    }

    /// The next byte that is not white space, which the scanner then stands on.
    #[inline]
    fn next_byte(&mut self) -> Result<u8, JsonError> {
        self.skip_space();
        self.rest().first().copied().ok_or(JsonError::End)
    }

    fn unexpected(&self, expected: &'static str) -> JsonError {
        let at = self.at;
        JsonError::Unexpected { expected, at }
    }

    fn enter(&mut self, opener: u8, expected: &'static str) -> Result<Open, JsonError> {
        if self.next_byte()? != opener {
            return Err(self.unexpected(expected));
        }
        if self.depth == DEPTH_MAX {
            return Err(JsonError::TooDeep { at: self.at });
        }
        self.at += 1;
        self.depth += 1;
        Ok(Open { first: true })
    }

    fn next_entry(
        &mut self,
        open: &mut Open,
        closer: u8,
        expected: &'static str,
    ) -> Result<bool, JsonError> {
        let byte = self.next_byte()?;
        let first = std::mem::replace(&mut open.first, false);
        if byte == closer {
            self.at += 1;
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if !first {
            if byte != b',' {
                return Err(self.unexpected(expected));
            }
            self.at += 1;
        }
        Ok(true)
    }

    /// A member's key and its colon.
    fn key(&mut self) -> Result<TextSpan, JsonError> {
        if self.next_byte()? != b'"' {
            return Err(self.unexpected("a field name"));
        }
        let key = self.string()?;
        if self.next_byte()? != b':' {
            return Err(self.unexpected("a colon"));
        }
        self.at += 1;
        Ok(key)
    }

    /// A value has ended, or an empty container was opened: closes all that
    /// ends here, down to the level `outer`, and stands before the next value.
    fn close_ended(&mut self, outer: u32, objects: &mut u64) -> Result<(), JsonError> {
        while self.depth > outer {
            let is_object = *objects & 1 == 1;
            match self.next_byte()? {
                b',' => {
                    self.at += 1;
                    if is_object {
                        self.key()?;
                    }
                    return Ok(());
                }
                b'}' if is_object => {}
                b']' if !is_object => {}
                _ if is_object => return Err(self.unexpected("a comma or a closing brace")),
                _ => return Err(self.unexpected("a comma or a closing bracket")),
            }
            self.at += 1;
            self.depth -= 1;
            *objects >>= 1;
        }
        Ok(())
    }

    fn scalar(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::String => self.string().map(drop),
            Kind::Number => {
                let length = number::length(self.rest());
                self.at += length.ok_or(JsonError::Number { at: self.at })?;
                Ok(())
            }
            Kind::True => self.word(b"true"),
            Kind::False => self.word(b"false"),
            // The containers never come here.
            Kind::Null | Kind::Object | Kind::Array => self.word(b"null"),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        if !self.rest().starts_with(word) {
            return Err(self.unexpected("true, false or null"));
        }
        self.at += word.len();
        Ok(())
    }
}

fn not_utf8(body: &[u8]) -> JsonError {
    let at = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
    JsonError::Utf8 { at }
}

#[cfg(test)]
pub(crate) mod tests;
