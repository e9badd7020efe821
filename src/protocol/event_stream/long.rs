//! Reads a frame that is too long to keep: its headers are kept, its payload is
//! condensed, its checksum goes along.

use super::wrapped::Wrapped;
use super::{CHECKSUM_BYTES, PAYLOAD_BYTES_MAX, STRING_BYTES_MAX, number};
use crate::protocol::condense::{Bounds, Condensed, Condenser};
use crc32fast::Hasher;

/// How much is kept of a payload, and of what is wrapped in it.
const BOUNDS: Bounds = Bounds {
    bytes_max: PAYLOAD_BYTES_MAX,
    string_bytes_max: STRING_BYTES_MAX,
};

/// A frame that is being read, its prelude apart.
#[derive(Debug)]
pub(super) struct Long {
    /// Of all that has come.
    hasher: Hasher,
    headers: Vec<u8>,
    headers_left: usize,
    payload: Condenser,
    /// The event in the payload, where it wraps one.
    wrapped: Wrapped,
    payload_left: usize,
    checksum: Vec<u8>,
}

/// How far the frame has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    More,
    End,
    /// Its checksum is wrong.
    Corrupt,
}

impl Long {
    pub(super) fn new(prelude: &[u8], headers_bytes: usize, payload_bytes: usize) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(prelude);
        Self {
            hasher,
            headers: Vec::new(),
            headers_left: headers_bytes,
            payload: Condenser::new(BOUNDS),
            wrapped: Wrapped::new(BOUNDS),
            payload_left: payload_bytes,
            checksum: Vec::new(),
        }
    }

    pub(super) fn bytes_held(&self) -> usize {
        self.headers.capacity() + self.payload.bytes_held() + self.wrapped.bytes_held()
    }

    /// Takes bytes from the front of `rest`: how many.
    pub(super) fn read(&mut self, rest: &[u8]) -> (usize, Found) {
        let (headers, rest) = front(rest, &mut self.headers_left);
        self.headers.extend_from_slice(headers);
        let (payload, rest) = front(rest, &mut self.payload_left);
        self.payload.push(payload);
        self.wrapped.push(payload);
        self.hasher.update(headers);
        self.hasher.update(payload);
        let mut checksum_left = CHECKSUM_BYTES.saturating_sub(self.checksum.len());
        let (checksum, _) = front(rest, &mut checksum_left);
        self.checksum.extend_from_slice(checksum);
        let bytes = headers.len() + payload.len() + checksum.len();
        let found = if checksum_left > 0 {
            Found::More
        } else if number(&self.checksum) == self.hasher.clone().finalize() {
            Found::End
        } else {
            Found::Corrupt
        };
        (bytes, found)
    }

    /// The frame has ended: its headers and its payload.
    pub(super) fn finish(self) -> (Vec<u8>, Option<Condensed>) {
        let payload = match self.wrapped.finish() {
            Some(event) => event,
            None => self.payload.finish(),
        };
        (self.headers, payload)
    }
}

/// Splits off as many bytes as are `left`, if they are there.
fn front<'a>(bytes: &'a [u8], left: &mut usize) -> (&'a [u8], &'a [u8]) {
    let at = bytes.len().min(*left);
    *left -= at;
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}
