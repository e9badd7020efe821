//! Reads an event that is too long to wait for its end.
//!
//! Its bytes go on their way as they come. Of its data only what a [`Condenser`]
//! keeps stays here, and of the line that is being read at most
//! [`LINE_START_BYTES_MAX`] bytes, until it is clear what it is.

use super::cursor::BYTE_ORDER_MARK;
use super::{EVENT_BYTES_MAX, STRING_BYTES_MAX};
use crate::protocol::condense::{Bounds, Condensed, Condenser};
use memchr::memchr2;

/// A line whose value begins with so much white space is taken to go on with
/// its event, whatever follows.
const LINE_START_BYTES_MAX: usize = 256;

/// The longest name of an event that is kept whole; no known one is near it.
const NAME_BYTES_MAX: usize = 256;

/// The longest name of a field that counts, with its colon.
const FIELD_BYTES_MAX: usize = b"event:".len();

/// An event that is being read.
#[derive(Debug)]
pub(super) struct Long {
    line: Line,
    /// The line's bytes so far, while it is not known what it is.
    start: Vec<u8>,
    /// This is the first line of the stream.
    stream_start: bool,
    /// The line before ended with a CR; an LF at its place belongs to it.
    after_cr: bool,
    /// The last data field ended a JSON object or array.
    closed: bool,
    name: Vec<u8>,
    data: Option<Condenser>,
    data_is: Data,
}

/// Where the data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// Only white space has come.
    Unknown,
    /// From data fields.
    Fields,
    /// There is no field: some write an object as it is.
    Bare,
}

/// What the line is that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Unknown,
    Data,
    Name,
    Other,
}

/// What was found at the front of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Bytes of the event; they and the line's start go on their way.
    Part,
    /// Bytes that are now in the line's start.
    Start,
    /// The blank line that ends the event.
    End,
    /// As [`Found::Start`]: but the line begins a new event.
    NewEvent,
}

impl Long {
    pub(super) fn new(stream_start: bool) -> Self {
        Self {
            line: Line::Unknown,
            start: Vec::new(),
            stream_start,
            after_cr: false,
            closed: false,
            name: Vec::new(),
            data: None,
            data_is: Data::Unknown,
        }
    }

    /// The bytes that were taken and are not on their way yet.
    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    pub(super) fn take_start(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.start)
    }

    pub(super) fn bytes_held(&self) -> usize {
        let data = self.data.as_ref().map_or(0, Condenser::bytes_held);
        self.start.capacity() + self.name.capacity() + data
    }

    /// Takes bytes from the front of `rest`, which is not empty: how many.
    pub(super) fn read(&mut self, rest: &[u8]) -> (usize, Found) {
        let after_cr = std::mem::take(&mut self.after_cr);
        if after_cr && rest.first() == Some(&b'\n') {
            return (1, Found::Part);
        }
        match self.line {
            Line::Unknown => self.begin_line(rest),
            _ => self.go_on(rest),
        }
    }

    /// The stream is over, and so is the line: the event's name and data.
    pub(super) fn finish(mut self) -> (Vec<u8>, Option<Option<Condensed>>) {
        if self.line == Line::Unknown && !self.start.is_empty() {
            self.take_line();
        }
        (self.name, self.data.map(Condenser::finish))
    }

    fn begin_line(&mut self, rest: &[u8]) -> (usize, Found) {
        for (at, byte) in rest.iter().enumerate() {
            if matches!(byte, b'\r' | b'\n') {
                return self.end_start(at, rest);
            }
            self.start.push(*byte);
            match self.said(false) {
                None => {}
                Some(Said::NewEvent) => return (at + 1, Found::NewEvent),
                Some(Said::Field(line, value_at)) => {
                    self.begin_value(line, value_at);
                    return (at + 1, Found::Part);
                }
            }
        }
        (rest.len(), Found::Start)
    }

    /// The line ends at `at`, and all of it is in `start`.
    fn end_start(&mut self, at: usize, rest: &[u8]) -> (usize, Found) {
        let is_cr = rest.get(at) == Some(&b'\r');
        if self.line_start().is_empty() {
            let is_crlf = is_cr && rest.get(at + 1) == Some(&b'\n');
            return (at + if is_crlf { 2 } else { 1 }, Found::End);
        }
        self.take_line();
        self.end_line(is_cr);
        (at + 1, Found::Part)
    }

    fn take_line(&mut self) {
        if let Some(Said::Field(line, value_at)) = self.said(true) {
            self.begin_value(line, value_at);
        }
    }

    fn go_on(&mut self, rest: &[u8]) -> (usize, Found) {
        let end = memchr2(b'\r', b'\n', rest);
        let value = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.value(value);
        match end {
            Some(at) => {
                self.end_line(rest.get(at) == Some(&b'\r'));
                (at + 1, Found::Part)
            }
            None => (rest.len(), Found::Part),
        }
    }

    fn end_line(&mut self, is_cr: bool) {
        if self.data_is == Data::Bare {
            self.data(b"\n");
        }
        self.line = Line::Unknown;
        self.stream_start = false;
        self.after_cr = is_cr;
    }

    /// The line's bytes so far, a byte order mark apart.
    fn line_start(&self) -> &[u8] {
        let start = self.start.as_slice();
        match start.strip_prefix(BYTE_ORDER_MARK) {
            Some(line) if self.stream_start => line,
            _ => start,
        }
    }

    /// What the line's start says; `None`: not enough yet. `whole`: it is all
    /// of the line.
    fn said(&self, whole: bool) -> Option<Said> {
        if !whole && self.stream_start && BYTE_ORDER_MARK.starts_with(&self.start) {
            return None;
        }
        let line = self.line_start();
        let name_end = line.iter().take(FIELD_BYTES_MAX).position(|b| *b == b':');
        let (field, after) = match name_end {
            Some(colon) => (line.get(..colon)?, line.get(colon + 1..)?),
            None if whole => (line, [].as_slice()),
            None if line.len() < FIELD_BYTES_MAX => return None,
            None => return Some(Said::Field(Line::Other, line.len())),
        };
        let line_is = match field {
            b"data" => Line::Data,
            b"event" => Line::Name,
            _ => return Some(Said::Field(Line::Other, line.len())),
        };
        if after.is_empty() && !whole {
            return None;
        }
        let value = after.strip_prefix(b" ").unwrap_or(after);
        if line_is == Line::Data && self.closed {
            match value.trim_ascii_start().first() {
                Some(b'{' | b'[') => return Some(Said::NewEvent),
                None if !whole && line.len() < LINE_START_BYTES_MAX => return None,
                _ => {}
            }
        }
        Some(Said::Field(line_is, value.len()))
    }

    /// The line is known; `value_bytes`: how many of its start are its value.
    fn begin_value(&mut self, line: Line, value_bytes: usize) {
        self.line = line;
        let start = std::mem::take(&mut self.start);
        match line {
            Line::Name => {
                self.name.clear();
                self.data_is = match self.data_is {
                    Data::Unknown => Data::Fields,
                    known => known,
                };
            }
            Line::Data => self.begin_data(),
            Line::Unknown | Line::Other => {}
        }
        let from = start.len().saturating_sub(value_bytes);
        self.value(start.get(from..).unwrap_or_default());
        self.start = start;
    }

    fn begin_data(&mut self) {
        self.closed = false;
        if self.data_is != Data::Fields {
            self.data = None;
            self.data_is = Data::Fields;
        }
        match self.data {
            Some(_) => self.data(b"\n"),
            None => self.data(b""),
        }
    }

    fn value(&mut self, bytes: &[u8]) {
        match self.line {
            Line::Data => {
                if let Some(last) = bytes.trim_ascii_end().last() {
                    self.closed = matches!(last, b'}' | b']');
                }
                self.data(bytes);
            }
            Line::Name => {
                let room = NAME_BYTES_MAX.saturating_sub(self.name.len());
                let fits = bytes.get(..bytes.len().min(room)).unwrap_or_default();
                self.name.extend_from_slice(fits);
            }
            Line::Unknown | Line::Other => self.no_field(bytes),
        }
    }

    /// Bytes of a line that is no field that counts. White space before a bare
    /// object is left out, as it may come in any number of parts.
    fn no_field(&mut self, mut bytes: &[u8]) {
        if self.data_is == Data::Unknown {
            bytes = bytes.trim_ascii_start();
            self.data_is = match bytes.first() {
                None => Data::Unknown,
                Some(b'{') => Data::Bare,
                Some(_) => Data::Fields,
            };
        }
        if self.data_is == Data::Bare {
            self.data(bytes);
        }
    }

    fn data(&mut self, bytes: &[u8]) {
        let bounds = Bounds {
            bytes_max: EVENT_BYTES_MAX,
            string_bytes_max: STRING_BYTES_MAX,
        };
        let data = self.data.get_or_insert_with(|| Condenser::new(bounds));
        data.push(bytes);
    }
}

/// What the start of a line says.
enum Said {
    /// What the line is, and how many bytes of its value have come.
    Field(Line, usize),
    NewEvent,
}
