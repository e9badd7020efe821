//! Event streams (`text/event-stream`), split as they stream by.
//!
//! Lines, comments, fields and the byte order mark are read as the WHATWG
//! rules say (HTML standard, 9.2.6), with two liberties that real providers
//! need: an event at the very end counts without its blank line, and a `data`
//! line that begins a JSON object or array right after a line that ended one
//! begins a new event, blank line or not (JSON never has one directly behind
//! the other, so no proper event is torn).
//!
//! Always holds: the raw bytes of all pieces, joined, and then
//! [`Splitter::pending`], are the input; pieces don't depend on how the input
//! was split, save for [`Piece::LineFeed`]. An event that lies whole within a
//! chunk is not copied. At most [`EVENT_BYTES_MAX`] bytes wait.
//!
//! Left to others: what an event's data means.

mod cursor;

use cursor::{Cursor, Scan};
use memchr::memchr2;
use std::borrow::Cow;

/// The most bytes of one event, its last line's end apart. Longer ones pass
/// unread: a delta is a few hundred bytes, an image or audio part some hundred
/// thousand.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// A waiting buffer that grew past this is given back after its event.
const KEPT_BYTES_MAX: usize = 8 << 10;

/// A part of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole event, or comments and blank lines between events.
    Event(Event<'a>),
    /// Bytes of an event that is longer than [`EVENT_BYTES_MAX`].
    Overlong(&'a [u8]),
    /// The second half of a CRLF whose first half ended the piece before.
    LineFeed(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// The piece's bytes as they came.
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Piece::Event(event) => event.raw,
            Piece::Overlong(raw) | Piece::LineFeed(raw) => raw,
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its bytes as they came, blank line included.
    pub raw: &'a [u8],
    /// The `event` field; empty where there is none.
    pub name: &'a [u8],
    /// The `data` fields joined by line feeds; `None` where there is none.
    pub data: Option<Cow<'a, [u8]>>,
}

/// Splits one stream into its events.
#[derive(Debug)]
pub struct Splitter {
    /// The bytes of an event that has not ended yet.
    pending: Vec<u8>,
    /// How far `pending` has been read.
    cursor: Cursor,
    /// Within an overlong event.
    skip: Option<Skip>,
    /// The last piece ended with a CR: an LF right behind it is its second
    /// half.
    after_cr: bool,
}

/// Where in an overlong event the next byte lies.
#[derive(Debug, Clone, Copy)]
struct Skip {
    line_has_bytes: bool,
    after_cr: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            cursor: Cursor::at_stream_start(),
            skip: None,
            after_cr: false,
        }
    }
}

impl Splitter {
    /// The bytes that belong to no piece yet.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    #[cfg(test)]
    pub(crate) fn bytes_held(&self) -> usize {
        self.pending.capacity()
    }

    /// Takes the next bytes, and gives every piece that they end to `sink`.
    pub fn push(&mut self, chunk: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let read = if self.after_cr {
                self.line_feed(rest, sink)
            } else if let Some(skip) = self.skip {
                self.skip_overlong(skip, rest, sink)
            } else if self.pending.is_empty() {
                self.within_chunk(rest, sink)
            } else {
                self.across_chunks(rest, sink)
            };
            rest = rest.get(read..).unwrap_or_default();
        }
    }

    /// The stream is over: what still waits is an event, if it has data.
    pub fn finish(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        let buf = std::mem::take(&mut self.pending);
        let mut cursor = std::mem::take(&mut self.cursor);
        let mut rest = buf.as_slice();
        while !rest.is_empty() {
            let at = match cursor.scan(rest) {
                Scan::End(at) => at,
                Scan::More => cursor.finish(rest).unwrap_or(rest.len()),
                Scan::Overlong(_) => {
                    sink(Piece::Overlong(rest));
                    return;
                }
            };
            let (raw, next) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            sink(std::mem::take(&mut cursor).into_event(raw));
            rest = next;
        }
    }

    /// Each of the following takes bytes from the front of `rest`, and says
    /// how many; where it takes none, the state has changed.
    fn line_feed(&mut self, rest: &[u8], sink: &mut impl FnMut(Piece<'_>)) -> usize {
        self.after_cr = false;
        match rest.split_at_checked(1) {
            Some((feed @ b"\n", _)) => {
                sink(Piece::LineFeed(feed));
                1
            }
            _ => 0,
        }
    }

    /// Nothing waits: reads an event from the chunk itself.
    fn within_chunk(&mut self, rest: &[u8], sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let mut cursor = std::mem::take(&mut self.cursor);
        match cursor.scan(rest) {
            Scan::End(at) => {
                let raw = rest.get(..at).unwrap_or_default();
                self.after_cr = at == rest.len() && raw.last() == Some(&b'\r');
                sink(cursor.into_event(raw));
                at
            }
            Scan::More => {
                self.pending.extend_from_slice(rest);
                self.cursor = cursor;
                rest.len()
            }
            Scan::Overlong(line) => {
                self.skip = Some(Skip {
                    line_has_bytes: false,
                    after_cr: false,
                });
                if line > 0 {
                    sink(Piece::Overlong(rest.get(..line).unwrap_or_default()));
                }
                line
            }
        }
    }

    /// An event has begun in an earlier chunk: goes on with it line by line,
    /// so that no more than its own bytes are copied.
    fn across_chunks(&mut self, rest: &[u8], sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let line_end = memchr2(b'\r', b'\n', rest);
        let line_bytes = line_end.unwrap_or(rest.len());
        if self.pending.len().saturating_add(line_bytes) > EVENT_BYTES_MAX {
            self.begin_overlong(sink);
            return 0;
        }
        let read = match line_end {
            Some(at) if rest.get(at..at + 2) == Some(b"\r\n") => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        self.pending
            .extend_from_slice(rest.get(..read).unwrap_or_default());
        match self.cursor.scan(&self.pending) {
            Scan::End(at) => self.end_pending(at, sink),
            Scan::More => {}
            Scan::Overlong(_) => self.begin_overlong(sink),
        }
        read
    }

    /// The waiting event ends at `at`; what lies behind it goes on waiting.
    fn end_pending(&mut self, at: usize, sink: &mut impl FnMut(Piece<'_>)) {
        let mut buf = std::mem::take(&mut self.pending);
        let cursor = std::mem::take(&mut self.cursor);
        let raw = buf.get(..at).unwrap_or_default();
        self.after_cr = at == buf.len() && raw.last() == Some(&b'\r');
        sink(cursor.into_event(raw));
        buf.drain(..at.min(buf.len()));
        if buf.capacity() > KEPT_BYTES_MAX {
            buf.shrink_to(KEPT_BYTES_MAX);
        }
        self.pending = buf;
    }

    /// The waiting event has grown too long.
    fn begin_overlong(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        let buf = std::mem::take(&mut self.pending);
        self.cursor = Cursor::default();
        self.skip = Some(Skip {
            line_has_bytes: !matches!(buf.last(), Some(b'\r' | b'\n')),
            after_cr: buf.last() == Some(&b'\r'),
        });
        sink(Piece::Overlong(&buf));
    }

    /// Looks for the blank line that ends an overlong event.
    fn skip_overlong(
        &mut self,
        mut skip: Skip,
        rest: &[u8],
        sink: &mut impl FnMut(Piece<'_>),
    ) -> usize {
        let mut from = 0;
        if skip.after_cr && rest.first() == Some(&b'\n') {
            from = 1;
        }
        skip.after_cr = false;
        loop {
            let ahead = rest.get(from..).unwrap_or_default();
            let Some(found) = memchr2(b'\r', b'\n', ahead) else {
                skip.line_has_bytes |= !ahead.is_empty();
                self.skip = Some(skip);
                sink(Piece::Overlong(rest));
                return rest.len();
            };
            let is_cr = ahead.get(found) == Some(&b'\r');
            let is_crlf = is_cr && ahead.get(found + 1) == Some(&b'\n');
            let next = from + found + if is_crlf { 2 } else { 1 };
            if !skip.line_has_bytes && found == 0 {
                self.skip = None;
                self.after_cr = is_cr && next == rest.len() && !is_crlf;
                sink(Piece::Overlong(rest.get(..next).unwrap_or_default()));
                return next;
            }
            skip.line_has_bytes = false;
            skip.after_cr = is_cr && !is_crlf && next == rest.len();
            from = next;
        }
    }
}

#[cfg(test)]
mod tests;
