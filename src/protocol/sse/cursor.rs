//! Reads the lines of one event, remembering how far it came.
//!
//! Always holds: the bytes given to [`Cursor::scan`] begin with the event and
//! only grow at their end between calls; each byte is looked at once for line
//! ends. A line is read only when it is whole.

use super::{EVENT_PLAIN_BYTES_MAX, Event, Piece};
use memchr::{memchr, memchr2};
use std::borrow::Cow;
use std::ops::Range;

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How far one event has been read, and what its fields are so far.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Where the line begins that is being read.
    line: usize,
    /// No line end lies between `line` and here.
    scanned: usize,
    /// The line before ended with a CR; an LF at `line` belongs to it.
    after_cr: bool,
    /// This is the first event of the stream.
    first_event: bool,
    /// This is the first line of the stream.
    stream_start: bool,
    name: Range<usize>,
    data: Option<Range<usize>>,
    /// The data of several fields, once there is a second.
    joined: Option<Vec<u8>>,
    /// The last data field ended a JSON object or array.
    closed: bool,
}

/// What a look at the bytes found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// The event ends before this byte.
    End(usize),
    /// The event has not ended yet.
    More,
    /// The event is too long to be kept until it ends.
    Overlong,
}

impl Cursor {
    pub(super) fn at_stream_start() -> Self {
        Self {
            first_event: true,
            stream_start: true,
            ..Self::default()
        }
    }

    pub(super) fn is_of_first_event(&self) -> bool {
        self.first_event
    }

    pub(super) fn bytes_held(&self) -> usize {
        self.joined.as_ref().map_or(0, Vec::capacity)
    }

    pub(super) fn scan(&mut self, buf: &[u8]) -> Scan {
        loop {
            if self.after_cr {
                match buf.get(self.line) {
                    None => return Scan::More,
                    Some(b'\n') => self.line += 1,
                    Some(_) => {}
                }
                self.after_cr = false;
                self.scanned = self.line;
            }
            let ahead = buf.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr2(b'\r', b'\n', ahead) else {
                self.scanned = buf.len();
                let line_has_bytes = buf.len() > self.line;
                return if line_has_bytes && buf.len() > EVENT_PLAIN_BYTES_MAX {
                    Scan::Overlong
                } else {
                    Scan::More
                };
            };
            let end = self.scanned + found;
            if end > EVENT_PLAIN_BYTES_MAX {
                return Scan::Overlong;
            }
            let is_cr = ahead.get(found) == Some(&b'\r');
            self.skip_byte_order_mark(buf, end);
            if self.line == end {
                let is_crlf = is_cr && ahead.get(found + 1) == Some(&b'\n');
                return Scan::End(end + if is_crlf { 2 } else { 1 });
            }
            if !self.field(buf, end) {
                return Scan::End(self.line);
            }
            self.line = end + 1;
            self.scanned = self.line;
            self.after_cr = is_cr;
        }
    }

    /// Reads the last line, which has no end. Some: a second event begins
    /// there, so this one ends before that byte.
    pub(super) fn finish(&mut self, buf: &[u8]) -> Option<usize> {
        self.skip_byte_order_mark(buf, buf.len());
        let starts_anew = self.line < buf.len() && !self.field(buf, buf.len());
        starts_anew.then_some(self.line)
    }

    pub(super) fn into_event(self, raw: &[u8]) -> Piece<'_> {
        let data = match (self.joined, self.data) {
            (Some(joined), _) => Some(Cow::Owned(joined)),
            (None, Some(range)) => Some(Cow::Borrowed(raw.get(range).unwrap_or_default())),
            (None, None) => None,
        };
        Piece::Event(Event {
            raw,
            name: raw.get(self.name).unwrap_or_default(),
            data,
        })
    }

    fn skip_byte_order_mark(&mut self, buf: &[u8], end: usize) {
        let line = buf.get(self.line..end).unwrap_or_default();
        if std::mem::take(&mut self.stream_start) && line.starts_with(BYTE_ORDER_MARK) {
            self.line += BYTE_ORDER_MARK.len();
        }
    }

    /// Reads the line that ends at `end`; false: it begins a new event.
    fn field(&mut self, buf: &[u8], end: usize) -> bool {
        let line = buf.get(self.line..end).unwrap_or_default();
        let (field, mut value_at) = match memchr(b':', line) {
            Some(colon) => (line.get(..colon).unwrap_or_default(), colon + 1),
            None => (line, line.len()),
        };
        if line.get(value_at) == Some(&b' ') {
            value_at += 1;
        }
        let range = self.line + value_at..end;
        match field {
            b"data" => return self.data_field(buf, range),
            b"event" => self.name = range,
            // A comment, `id`, `retry`, or what the rules tell to ignore.
            _ => {}
        }
        true
    }

    fn data_field(&mut self, buf: &[u8], range: Range<usize>) -> bool {
        let value = buf.get(range.clone()).unwrap_or_default();
        let opens = matches!(value.trim_ascii_start().first(), Some(b'{' | b'['));
        if self.closed && opens {
            return false;
        }
        self.closed = matches!(value.trim_ascii_end().last(), Some(b'}' | b']'));
        match &self.data {
            None => self.data = Some(range),
            Some(first) => {
                let first = buf.get(first.clone()).unwrap_or_default();
                let joined = self.joined.get_or_insert_with(|| first.to_vec());
                joined.push(b'\n');
                joined.extend_from_slice(value);
            }
        }
        true
    }
}
