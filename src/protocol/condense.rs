//! JSON with its long strings cut short, as its bytes stream by.
//!
//! An image in base64 or a long argument of a tool can be larger than all else
//! that an answer says, and what stands behind it counts all the same. So of
//! each string only the front is kept, and how much of it was let go: see
//! [`Cuts`].
//!
//! Always holds: what is kept doesn't depend on how the input was split, and is
//! the input itself where no string is longer than the bound. A front ends
//! neither within a character nor within an escape. What is let go is checked
//! like the rest, its UTF-8 apart, so that what is no JSON does not become it.
//!
//! Left to others: whether the rest is JSON, and what it means.

mod cuts;

use super::json::plain_bytes;
use memchr::{memchr, memchr2};

pub use cuts::Cuts;

/// A pair of escapes that is one character.
const ESCAPE_PAIR_BYTES: usize = 12;
const ESCAPE_BYTES: usize = 6;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of the whole text, besides a few bytes for each cut.
    pub bytes_max: usize,
    /// Of one string.
    pub string_bytes_max: usize,
}

/// A JSON text without the ends of its long strings.
#[derive(Debug, Default)]
pub struct Condensed {
    pub json: Vec<u8>,
    pub cuts: Cuts,
}

/// Takes one JSON text in.
#[derive(Debug)]
pub struct Condenser {
    bounds: Bounds,
    kept: Vec<u8>,
    cuts: Cuts,
    place: Place,
    full: bool,
    malformed: bool,
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In no string.
    Outside,
    /// In the front of a string.
    Front { bytes: usize, escaped: bool },
    /// In what is let go of a string: how many bytes its text has.
    Behind { bytes: u64, escape: Escape },
}

#[derive(Debug, Clone, Copy)]
enum Escape {
    None,
    Begun,
    /// So many hexadecimal digits are still to come.
    Digits(u8),
}

impl Condenser {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            kept: Vec::new(),
            cuts: Cuts::default(),
            place: Place::Outside,
            full: false,
            malformed: false,
        }
    }

    /// Takes the next bytes: how many of them. Less than all: what is kept has
    /// reached its bound, and nothing more is taken.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.full {
                break;
            }
            at += match self.place {
                Place::Outside => self.outside(rest),
                Place::Front { bytes, escaped } => self.front(bytes, escaped, rest),
                Place::Behind { bytes, escape } => self.behind(bytes, escape, rest),
            };
        }
        at
    }

    /// Whether the bound was passed: there is more than what was taken.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// What was kept; `None` where it can't be all of a JSON text.
    pub fn finish(self) -> Option<Condensed> {
        (!self.full && !self.malformed).then_some(Condensed {
            json: self.kept,
            cuts: self.cuts,
        })
    }

    /// The kept bytes alone, whatever they are.
    pub fn into_kept(self) -> Vec<u8> {
        self.kept
    }

    /// How much memory is in use.
    pub fn bytes_held(&self) -> usize {
        self.kept.capacity() + self.cuts.bytes_held()
    }

    /// Each of the following takes bytes from the front of `rest`, and says how
    /// many; where it takes none, the state has changed.
    fn outside(&mut self, rest: &[u8]) -> usize {
        let quote = memchr(b'"', rest);
        let run = quote.map_or(rest.len(), |at| at + 1);
        let taken = self.keep(rest.get(..run).unwrap_or_default());
        if quote.is_some() && taken == run {
            self.place = Place::Front {
                bytes: 0,
                escaped: false,
            };
        }
        taken
    }

    fn front(&mut self, bytes: usize, escaped: bool, rest: &[u8]) -> usize {
        let room = self.bounds.string_bytes_max.saturating_sub(bytes);
        let run = match memchr2(b'"', b'\\', rest) {
            _ if escaped => 1,
            Some(0) => return self.quote_or_escape(bytes, room, rest),
            found => found.unwrap_or(rest.len()),
        };
        // An escape was begun only where it fits.
        let fits = if escaped { run } else { run.min(room) };
        if fits == 0 {
            self.begin_behind(bytes, rest.first().copied());
            return 0;
        }
        let taken = self.keep(rest.get(..fits).unwrap_or_default());
        self.place = Place::Front {
            bytes: bytes + taken,
            escaped: false,
        };
        taken
    }

    fn quote_or_escape(&mut self, bytes: usize, room: usize, rest: &[u8]) -> usize {
        if rest.first() == Some(&b'"') {
            let taken = self.keep(b"\"");
            self.place = Place::Outside;
            return taken;
        }
        let fits = match self.ends_with_half_a_pair(bytes) {
            true => room >= ESCAPE_BYTES,
            false => room >= ESCAPE_PAIR_BYTES,
        };
        if !fits {
            self.begin_behind(bytes, None);
            return 0;
        }
        let taken = self.keep(b"\\");
        self.place = Place::Front {
            bytes: bytes + taken,
            escaped: true,
        };
        taken
    }

    /// Whether the string's front ends with the first escape of a pair. (An
    /// escaped backslash before the same letters looks alike; then one escape
    /// more is kept, which fits.)
    fn ends_with_half_a_pair(&self, bytes: usize) -> bool {
        let last = self.kept.len().checked_sub(ESCAPE_BYTES);
        let last = last.and_then(|from| self.kept.get(from..));
        bytes >= ESCAPE_BYTES
            && matches!(
                last,
                Some([
                    b'\\',
                    b'u',
                    b'd' | b'D',
                    b'8' | b'9' | b'a' | b'b' | b'A' | b'B',
                    ..
                ])
            )
    }

    /// The front has no more room. `next`: the byte that finds none.
    fn begin_behind(&mut self, bytes: usize, next: Option<u8>) {
        let is_within_character = |byte: u8| byte & 0xc0 == 0x80;
        let mut taken_back = 0;
        let mut next = next;
        // A character has at most three bytes before its last.
        while next.is_some_and(is_within_character) && taken_back < bytes.min(3) {
            next = self.kept.pop();
            taken_back += 1;
        }
        self.place = Place::Behind {
            bytes: u64::try_from(taken_back).unwrap_or(u64::MAX),
            escape: Escape::None,
        };
    }

    fn behind(&mut self, bytes: u64, escape: Escape, rest: &[u8]) -> usize {
        let first = rest.first().copied().unwrap_or_default();
        let (taken, text_bytes, escape) = match escape {
            Escape::None => match plain_bytes(rest) {
                0 if first == b'"' => return self.end_behind(bytes),
                0 if first == b'\\' => (1, 0, Escape::Begun),
                // A control character.
                0 => {
                    self.malformed = true;
                    (1, 1, Escape::None)
                }
                plain => (plain, plain, Escape::None),
            },
            // At most so many: a pair counts twice.
            Escape::Begun if first == b'u' => (1, 3, Escape::Digits(4)),
            Escape::Begun => {
                self.malformed |= !br#""\/bfnrt"#.contains(&first);
                (1, 1, Escape::None)
            }
            Escape::Digits(0) => (0, 0, Escape::None),
            Escape::Digits(_) if !first.is_ascii_hexdigit() => {
                self.malformed = true;
                (0, 0, Escape::None)
            }
            Escape::Digits(left) => (1, 0, Escape::Digits(left - 1)),
        };
        let text_bytes = u64::try_from(text_bytes).unwrap_or(u64::MAX);
        self.place = Place::Behind {
            bytes: bytes.saturating_add(text_bytes),
            escape,
        };
        taken
    }

    /// The string is over: its front gets a mark and the quote.
    fn end_behind(&mut self, bytes: u64) -> usize {
        let mark = self.cuts.cut(bytes);
        self.kept.extend_from_slice(mark.as_bytes());
        self.kept.push(b'"');
        self.place = Place::Outside;
        1
    }

    fn keep(&mut self, bytes: &[u8]) -> usize {
        let room = self.bounds.bytes_max.saturating_sub(self.kept.len());
        let taken = bytes.len().min(room);
        self.full = taken < bytes.len();
        self.kept
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }
}

#[cfg(test)]
mod tests;
