//! AWS's event streams (`application/vnd.amazon.eventstream`): binary frames,
//! each with headers, a payload and checksums.
//!
//! Always holds: no byte of a frame is believed before its checksum was found
//! right, its length not before that of its first eight bytes; at most
//! [`FRAME_PLAIN_BYTES_MAX`] bytes wait, and of longer frames their headers and
//! what a condenser keeps. After a wrong checksum nothing more is read,
//! as nobody can tell where the next frame begins.
//!
//! Source: "Event stream encoding", AWS's Amazon Transcribe and S3 guides and
//! the Smithy specification.

mod long;
mod wrapped;

use super::condense::Condensed;
use crc32fast::hash as crc32;
use long::{Found, Long};

/// The longest frame that is kept as it came. Of longer ones only the fronts of
/// long strings are kept.
pub const FRAME_PLAIN_BYTES_MAX: usize = 16 << 10;

/// The most that is kept of a longer frame's payload; one with more can't be
/// read.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// How much is kept of a string in a longer frame.
pub const STRING_BYTES_MAX: usize = 12 << 10;

/// The most headers of a longer frame; one with more passes unread. AWS's have
/// three, of some hundred bytes.
pub const HEADERS_BYTES_MAX: usize = 16 << 10;

/// A buffer that grew past this is given back after its frame.
const KEPT_BYTES_MAX: usize = 8 << 10;

/// Total length, headers' length, checksum of these two.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame<'a> {
    /// `:message-type`: `event`, `exception` or `error`.
    pub message_type: &'a [u8],
    /// `:event-type`, `:exception-type` or `:error-code`.
    pub name: &'a [u8],
    pub payload: &'a [u8],
}

/// What was found in a stream.
#[derive(Debug)]
pub enum Piece<'a> {
    Frame(Frame<'a>),
    /// A long one, which has its payload beside it, condensed; where the
    /// payload wraps an event in base64, the event. `None`: it can't be.
    Long(Frame<'a>, Option<Condensed>),
    /// A frame with too many headers was passed over.
    Overlong,
    /// The stream can't be read (any further).
    Corrupt,
}

/// Splits one stream into its frames.
#[derive(Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
    long: Option<Box<Long>>,
    /// Bytes of an overlong frame that are still to come.
    skip: usize,
    corrupt: bool,
}

impl Splitter {
    /// Whether the stream lies between two frames: it may end here.
    pub fn is_between_frames(&self) -> bool {
        self.pending.is_empty() && self.long.is_none() && self.skip == 0 && !self.corrupt
    }

    /// How much memory the frame that has not ended takes.
    pub fn bytes_held(&self) -> usize {
        self.pending.capacity() + self.long.as_ref().map_or(0, |long| long.bytes_held())
    }

    /// Takes the next bytes, and gives every frame that they end to `sink`.
    pub fn push(&mut self, chunk: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        let mut rest = chunk;
        while !rest.is_empty() && !self.corrupt {
            rest = if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                self.skip -= skipped;
                rest.get(skipped..).unwrap_or_default()
            } else if self.long.is_some() {
                self.within_long(rest, sink)
            } else if self.pending.is_empty() {
                self.within_chunk(rest, sink)
            } else {
                self.across_chunks(rest, sink)
            };
        }
    }

    /// Reads a frame at the front of a chunk; what is left of the chunk.
    fn within_chunk<'a>(&mut self, rest: &'a [u8], sink: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        match length(rest) {
            Length::More => self.keep(rest),
            Length::Wrong => self.fail(sink),
            Length::Of(bytes) if bytes > FRAME_PLAIN_BYTES_MAX => {
                let (prelude, rest) = rest.split_at_checked(PRELUDE_BYTES).unwrap_or((rest, &[]));
                self.begin_long(prelude, bytes, sink);
                rest
            }
            Length::Of(bytes) => match rest.split_at_checked(bytes) {
                Some((frame, rest)) => {
                    self.frame(frame, sink);
                    rest
                }
                None => self.keep(rest),
            },
        }
    }

    /// Adds to the frame that waits what it lacks; what is left of the chunk.
    fn across_chunks<'a>(&mut self, rest: &'a [u8], sink: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        let bytes = match length(&self.pending) {
            Length::More => PRELUDE_BYTES,
            Length::Wrong => return self.fail(sink),
            // No more than the prelude waits then.
            Length::Of(bytes) if bytes > FRAME_PLAIN_BYTES_MAX => {
                let prelude = std::mem::take(&mut self.pending);
                self.begin_long(&prelude, bytes, sink);
                return rest;
            }
            Length::Of(bytes) => bytes,
        };
        let lacking = bytes.saturating_sub(self.pending.len()).min(rest.len());
        let (front, rest) = rest.split_at_checked(lacking).unwrap_or((rest, &[]));
        self.pending.extend_from_slice(front);
        if matches!(length(&self.pending), Length::Of(bytes) if bytes == self.pending.len()) {
            let mut frame = std::mem::take(&mut self.pending);
            self.frame(&frame, sink);
            if frame.capacity() <= KEPT_BYTES_MAX {
                frame.clear();
                self.pending = frame;
            }
        } else if matches!(length(&self.pending), Length::Wrong) {
            return self.fail(sink);
        }
        rest
    }

    fn begin_long(&mut self, prelude: &[u8], bytes: usize, sink: &mut impl FnMut(Piece<'_>)) {
        let headers_bytes = number(prelude.get(4..8).unwrap_or_default()) as usize;
        let rest_bytes = bytes.saturating_sub(PRELUDE_BYTES);
        let payload_bytes = rest_bytes.checked_sub(headers_bytes.saturating_add(CHECKSUM_BYTES));
        match payload_bytes {
            None => {
                self.fail(sink);
            }
            Some(_) if headers_bytes > HEADERS_BYTES_MAX => {
                self.skip = rest_bytes;
                sink(Piece::Overlong);
            }
            Some(payload_bytes) => {
                let long = Long::new(prelude, headers_bytes, payload_bytes);
                self.long = Some(Box::new(long));
            }
        }
    }

    /// Goes on with a long frame; what is left of the chunk.
    fn within_long<'a>(&mut self, rest: &'a [u8], sink: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        let Some(long) = &mut self.long else {
            return rest;
        };
        let (read, found) = long.read(rest);
        let ended = match found {
            Found::More => None,
            Found::End | Found::Corrupt => self.long.take(),
        };
        match (found, ended) {
            (Found::End, Some(long)) => {
                let (headers, payload) = long.finish();
                match parse_headers(&headers) {
                    Some(frame) => sink(Piece::Long(frame, payload)),
                    None => return self.fail(sink),
                }
            }
            (Found::Corrupt, _) => return self.fail(sink),
            _ => {}
        }
        rest.get(read..).unwrap_or_default()
    }

    fn keep<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        self.pending.extend_from_slice(rest);
        &[]
    }

    fn fail<'a>(&mut self, sink: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        self.pending = Vec::new();
        self.corrupt = true;
        sink(Piece::Corrupt);
        &[]
    }

    fn frame(&mut self, frame: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        match parse(frame) {
            Some(frame) => sink(Piece::Frame(frame)),
            None => {
                self.fail(sink);
            }
        }
    }
}

enum Length {
    /// Not known yet.
    More,
    Of(usize),
    Wrong,
}

/// The length of the frame that begins here.
fn length(bytes: &[u8]) -> Length {
    let Some(prelude) = bytes.get(..PRELUDE_BYTES) else {
        return Length::More;
    };
    let (lengths, checksum) = prelude.split_at(8);
    if number(checksum) != crc32(lengths) {
        return Length::Wrong;
    }
    let total = number(lengths) as usize;
    if total < PRELUDE_BYTES + CHECKSUM_BYTES {
        return Length::Wrong;
    }
    Length::Of(total)
}

/// Reads a whole frame; `None` where it is not what it says.
fn parse(frame: &[u8]) -> Option<Frame<'_>> {
    let (body, checksum) = frame.split_at_checked(frame.len().checked_sub(CHECKSUM_BYTES)?)?;
    if number(checksum) != crc32(body) {
        return None;
    }
    let headers_bytes = number(body.get(4..8)?) as usize;
    let (headers, payload) = body.get(PRELUDE_BYTES..)?.split_at_checked(headers_bytes)?;
    Some(Frame {
        payload,
        ..parse_headers(headers)?
    })
}

/// A frame without its payload.
fn parse_headers(mut headers: &[u8]) -> Option<Frame<'_>> {
    let mut found = Frame::default();
    while !headers.is_empty() {
        let (name, value, rest) = header(headers)?;
        match name {
            b":message-type" => found.message_type = value,
            b":event-type" | b":exception-type" | b":error-code" => found.name = value,
            _ => {}
        }
        headers = rest;
    }
    Some(found)
}

/// One header: its name, its value's bytes, and what follows it.
fn header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let (bytes, rest) = match kind {
        // true, false
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        // A long, a time.
        5 | 8 => (8, rest),
        // Bytes, a string.
        6 | 7 => {
            let (length, rest) = rest.split_at_checked(2)?;
            (number(length) as usize, rest)
        }
        // A UUID.
        9 => (16, rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(bytes)?;
    Some((name, value, rest))
}

/// A number of up to four bytes, the largest first.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

#[cfg(test)]
pub(crate) mod tests;
