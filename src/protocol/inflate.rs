//! Undoing a content coding: an answer's as its bytes stream by, a request's
//! [`whole`].
//!
//! Bytes go in by [`Inflate::push`]; decoded bytes come out in pieces of at
//! most [`STEP_BYTES`], so that a caller that only reads them holds no more
//! than one piece, whatever the input.
//!
//! Always holds: no input panics or loops; what comes out is bounded per push,
//! per stream, and in proportion to what went in. After an error nothing more
//! comes out.
//!
//! Left to others: what the bytes mean, and what to do with a broken stream.

mod brotli;
mod deflate;
mod gzip;
mod whole;
mod zstandard;

use brotli::Brotli;
use deflate::Deflate;
use gzip::Gzip;
use zstandard::Zstd;

pub use whole::{WholeError, whole};

/// The most bytes of one piece of output; it lies on the stack.
pub const STEP_BYTES: usize = 8 << 10;

/// The most that one push may yield. Far above what one chunk of an honest
/// answer holds; it bounds a caller that collects the pieces of a push.
pub const PUSH_OUTPUT_BYTES_MAX: u64 = 16 << 20;

/// The most that one stream may yield: several times the longest answer that
/// any model gives, with log probabilities.
pub const STREAM_OUTPUT_BYTES_MAX: u64 = 256 << 20;

/// How many times larger than its input the output may be, past
/// [`EXPANSION_FREE_BYTES`]. Streamed answers shrink 5 to 60 times; bombs grow
/// a thousand times and more.
pub const EXPANSION_MAX: u64 = 250;

/// Output that is free of the ratio: short, very regular answers are harmless.
pub const EXPANSION_FREE_BYTES: u64 = 1 << 20;

/// A content coding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Identity,
    Gzip,
    /// zlib (RFC 9110), or bare deflate, as some servers send.
    Deflate,
    Brotli,
    Zstd,
}

impl Encoding {
    /// The coding that a `content-encoding` value names; `None` where it is
    /// unknown, or where several codings are applied one over the other.
    pub fn from_header(value: &str) -> Option<Self> {
        const NAMES: [(&str, Encoding); 7] = [
            ("", Encoding::Identity),
            ("identity", Encoding::Identity),
            ("gzip", Encoding::Gzip),
            ("x-gzip", Encoding::Gzip),
            ("deflate", Encoding::Deflate),
            ("br", Encoding::Brotli),
            ("zstd", Encoding::Zstd),
        ];
        let value = value.trim_matches([' ', '\t']);
        NAMES
            .into_iter()
            .find(|(name, _)| value.eq_ignore_ascii_case(name))
            .map(|(_, encoding)| encoding)
    }
}

/// Why a stream can't be decoded any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    #[error("the bytes are not of the declared content coding")]
    Malformed,
    #[error("the content coding expands more than is allowed")]
    TooLarge,
}

/// What one step of a decoder did; neither number is above what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    read: usize,
    wrote: usize,
}

/// What is left of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Its end has not come.
    Due,
    /// It ends where what has come ends.
    None,
    /// Something followed its end.
    Junk,
}

impl Rest {
    /// Takes what follows the end.
    fn pass(&mut self, input: &[u8]) -> Step {
        if !input.is_empty() {
            *self = Rest::Junk;
        }
        Step {
            read: input.len(),
            wrote: 0,
        }
    }
}

/// A decoder of one stream.
pub struct Inflate {
    codec: Codec,
    bytes_in: u64,
    /// How long the stream is, where that is known before its bytes go in: the
    /// ratio is of the whole, whichever part of it shrank the most.
    bytes_due: u64,
    bytes_out: u64,
    failed: Option<InflateError>,
}

enum Codec {
    Identity,
    Gzip(Box<Gzip>),
    Deflate(Box<Deflate>),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
    /// The decoder could not be set up.
    Broken,
}

impl Inflate {
    pub fn new(encoding: Encoding) -> Self {
        let codec = match encoding {
            Encoding::Identity => Codec::Identity,
            Encoding::Gzip => Codec::Gzip(Box::new(Gzip::new())),
            Encoding::Deflate => Codec::Deflate(Box::new(Deflate::new())),
            Encoding::Brotli => Codec::Brotli(Box::new(Brotli::new())),
            Encoding::Zstd => Zstd::new().map_or(Codec::Broken, Codec::Zstd),
        };
        Self {
            codec,
            bytes_in: 0,
            bytes_due: 0,
            bytes_out: 0,
            failed: None,
        }
    }

    /// Decodes `input`, giving what comes out to `sink` in order, in pieces of
    /// 1 to [`STEP_BYTES`] bytes. Everything that `input` decides comes out at
    /// once; nothing waits for the next push.
    ///
    /// # Errors
    /// Malformed input, or a bound passed. Pieces before it were given out;
    /// every later push fails the same way.
    pub fn push(
        &mut self,
        mut input: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), InflateError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.bytes_in = self.bytes_in.saturating_add(as_u64(input.len()));
        let push_end = self.bytes_out.saturating_add(PUSH_OUTPUT_BYTES_MAX);
        let mut piece = [0u8; STEP_BYTES];
        loop {
            let step = match self.codec.step(input, &mut piece) {
                Ok(step) => step,
                Err(error) => return self.fail(error),
            };
            self.bytes_out = self.bytes_out.saturating_add(as_u64(step.wrote));
            if self.bytes_out > self.output_max().min(push_end) {
                return self.fail(InflateError::TooLarge);
            }
            if step.wrote > 0 {
                sink(piece.get(..step.wrote).unwrap_or_default());
            }
            input = input.get(step.read..).unwrap_or_default();
            if step.read == 0 && step.wrote == 0 {
                return Ok(());
            }
        }
    }

    fn rest(&self) -> Rest {
        match &self.codec {
            Codec::Identity => Rest::None,
            Codec::Gzip(gzip) => gzip.rest(),
            Codec::Deflate(deflate) => deflate.rest(),
            Codec::Brotli(brotli) => brotli.rest(),
            Codec::Zstd(zstd) => zstd.rest(),
            Codec::Broken => Rest::Due,
        }
    }

    /// The most that may have come out after what has gone in.
    fn output_max(&self) -> u64 {
        if matches!(self.codec, Codec::Identity) {
            return u64::MAX;
        }
        let bytes_in = self.bytes_in.max(self.bytes_due);
        let in_proportion = bytes_in.saturating_mul(EXPANSION_MAX);
        in_proportion.clamp(EXPANSION_FREE_BYTES, STREAM_OUTPUT_BYTES_MAX)
    }

    fn fail(&mut self, error: InflateError) -> Result<(), InflateError> {
        self.failed = Some(error);
        // A decoder's window may be megabytes; nothing more needs it.
        self.codec = Codec::Broken;
        Err(error)
    }
}

impl Codec {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, InflateError> {
        match self {
            Codec::Identity => Ok(copy(input, out)),
            Codec::Gzip(gzip) => gzip.step(input, out),
            Codec::Deflate(deflate) => deflate.step(input, out),
            Codec::Brotli(brotli) => brotli.step(input, out),
            Codec::Zstd(zstd) => zstd.step(input, out),
            Codec::Broken => Err(InflateError::Malformed),
        }
    }
}

fn copy(input: &[u8], out: &mut [u8]) -> Step {
    let wrote = input.len().min(out.len());
    for (to, from) in out.iter_mut().zip(input) {
        *to = *from;
    }
    Step { read: wrote, wrote }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod encode;
#[cfg(test)]
mod tests;
