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
//! was split, save for [`Piece::LineFeed`] and the cuts between parts of a long
//! event. A short event that lies whole within a chunk is not copied. At most
//! [`EVENT_PLAIN_BYTES_MAX`] bytes wait; of the data of longer events at most
//! [`EVENT_BYTES_MAX`] bytes are kept, and of its long strings the fronts.
//!
//! Left to others: what an event's data means.

mod cursor;
mod long;

use super::condense::Condensed;
use cursor::{Cursor, Scan};
use long::{Found, Long};
use memchr::memchr2;
use std::borrow::Cow;

/// The most bytes of an event that waits for its end, its last line's end
/// apart: a delta is a few hundred bytes. Longer ones, with an image or a sound,
/// go on their way while they are read.
pub const EVENT_PLAIN_BYTES_MAX: usize = 16 << 10;

/// The most that is kept of the data of a longer event; one with more passes
/// unread.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// How much is kept of a string in the data of a longer event.
pub const STRING_BYTES_MAX: usize = 12 << 10;

/// A waiting buffer that grew past this is given back after its event.
const KEPT_BYTES_MAX: usize = 8 << 10;

/// A part of the stream.
#[derive(Debug)]
pub enum Piece<'a> {
    /// A whole event, or comments and blank lines between events.
    Event(Event<'a>),
    /// Bytes of an event that is longer than [`EVENT_PLAIN_BYTES_MAX`].
    Part(&'a [u8]),
    /// Such an event has ended; it has no bytes of its own.
    Long(LongEvent),
    /// The second half of a CRLF whose first half ended the piece before.
    LineFeed(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// The piece's bytes as they came.
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Piece::Event(event) => event.raw,
            Piece::Part(raw) | Piece::LineFeed(raw) => raw,
            Piece::Long(_) => &[],
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

/// One long event.
#[derive(Debug)]
pub struct LongEvent {
    /// As [`Event::name`]; of a name of no sensible length its front.
    pub name: Vec<u8>,
    /// As [`Event::data`], condensed.
    pub data: LongData,
}

/// The data of a long event.
#[derive(Debug)]
pub enum LongData {
    None,
    Condensed(Condensed),
    /// It is no JSON, or what is no long string in it is itself too long.
    Unreadable,
}

/// Splits one stream into its events.
#[derive(Debug)]
pub struct Splitter {
    /// The bytes of an event that has not ended yet.
    pending: Vec<u8>,
    /// How far `pending` has been read.
    cursor: Cursor,
    /// The event that has not ended, where it is a long one. Nothing is in
    /// `pending` then.
    long: Option<Long>,
    /// The last piece ended with a CR: an LF right behind it is its second
    /// half.
    after_cr: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            cursor: Cursor::at_stream_start(),
            long: None,
            after_cr: false,
        }
    }
}

impl Splitter {
    /// The bytes that belong to no piece yet.
    pub fn pending(&self) -> &[u8] {
        match &self.long {
            Some(long) => long.start(),
            None => &self.pending,
        }
    }

    /// How much memory the event that has not ended takes.
    pub fn bytes_held(&self) -> usize {
        self.pending.capacity()
            + self.cursor.bytes_held()
            + self.long.as_ref().map_or(0, Long::bytes_held)
    }

    /// Takes the next bytes, and gives every piece that they end to `sink`.
    pub fn push(&mut self, chunk: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let read = if self.after_cr {
                self.line_feed(rest, sink)
            } else if let Some(long) = self.long.take() {
                self.within_long(long, rest, sink)
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
        if let Some(long) = self.long.take() {
            sink_part(long.start(), sink);
            end_long(long, sink);
            return;
        }
        let buf = std::mem::take(&mut self.pending);
        let mut cursor = std::mem::take(&mut self.cursor);
        let mut rest = buf.as_slice();
        while !rest.is_empty() {
            let at = match cursor.scan(rest) {
                Scan::End(at) => at,
                // What waits was scanned before, and not found too long.
                Scan::More | Scan::Overlong => cursor.finish(rest).unwrap_or(rest.len()),
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
            Scan::Overlong => {
                // It is read anew, from its first line.
                self.long = Some(Long::new(cursor.is_of_first_event()));
                0
            }
        }
    }

    /// An event has begun in an earlier chunk: goes on with it line by line,
    /// so that no more than its own bytes are copied.
    fn across_chunks(&mut self, rest: &[u8], sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let line_end = memchr2(b'\r', b'\n', rest);
        let line_bytes = line_end.unwrap_or(rest.len());
        let bytes = self.pending.len().saturating_add(line_bytes);
        if line_bytes > 0 && bytes > EVENT_PLAIN_BYTES_MAX {
            self.begin_long(sink);
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
            Scan::Overlong => self.begin_long(sink),
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

    /// The waiting event has grown too long to wait: it is read anew.
    fn begin_long(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        let buf = std::mem::take(&mut self.pending);
        let cursor = std::mem::take(&mut self.cursor);
        self.long = Some(Long::new(cursor.is_of_first_event()));
        self.push(&buf, sink);
    }

    /// Goes on with a long event.
    fn within_long(
        &mut self,
        mut long: Long,
        rest: &[u8],
        sink: &mut impl FnMut(Piece<'_>),
    ) -> usize {
        let held = long.start().len();
        let (bytes, found) = long.read(rest);
        let raw = rest.get(..bytes).unwrap_or_default();
        match found {
            Found::Start => self.long = Some(long),
            Found::Part => {
                let start = long.take_start();
                sink_part(start.get(..held).unwrap_or_default(), sink);
                sink_part(raw, sink);
                self.long = Some(long);
            }
            Found::End => {
                let start = long.take_start();
                sink_part(start.get(..held).unwrap_or_default(), sink);
                sink_part(raw, sink);
                self.after_cr = bytes == rest.len() && raw.last() == Some(&b'\r');
                end_long(long, sink);
            }
            Found::NewEvent => {
                self.pending = long.take_start();
                end_long(long, sink);
            }
        }
        bytes
    }
}

fn sink_part(raw: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
    if !raw.is_empty() {
        sink(Piece::Part(raw));
    }
}

fn end_long(long: Long, sink: &mut impl FnMut(Piece<'_>)) {
    let (name, data) = long.finish();
    let data = match data {
        None => LongData::None,
        Some(None) => LongData::Unreadable,
        Some(Some(condensed)) => LongData::Condensed(condensed),
    };
    sink(Piece::Long(LongEvent { name, data }));
}

#[cfg(test)]
mod tests;
