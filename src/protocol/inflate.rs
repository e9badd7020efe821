//! Undoing an answer's content coding as its bytes stream by.
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

mod deflate;
mod gzip;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use deflate::Deflate;
use gzip::Gzip;
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::DParameter;

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

/// The largest zstd window, as a power of two: 8 MiB, the most that RFC 9659
/// allows in a content coding. It bounds what a frame's header can make the
/// decoder allocate.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

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

/// A decoder of one stream.
pub struct Inflate {
    codec: Codec,
    bytes_in: u64,
    bytes_out: u64,
    failed: Option<InflateError>,
}

enum Codec {
    Identity,
    Gzip(Box<Gzip>),
    Deflate(Box<Deflate>),
    Brotli(Box<Brotli>),
    Zstd(ZstdDecoder<'static>),
    /// The decoder could not be set up.
    Broken,
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

impl Inflate {
    pub fn new(encoding: Encoding) -> Self {
        let codec = match encoding {
            Encoding::Identity => Codec::Identity,
            Encoding::Gzip => Codec::Gzip(Box::new(Gzip::new())),
            Encoding::Deflate => Codec::Deflate(Box::new(Deflate::new())),
            // Strict: without the "large window" extension, which browsers
            // don't speak and which could ask for a gigabyte.
            Encoding::Brotli => Codec::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Encoding::Zstd => zstd_decoder().map_or(Codec::Broken, Codec::Zstd),
        };
        Self {
            codec,
            bytes_in: 0,
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

    /// The most that may have come out after what has gone in.
    fn output_max(&self) -> u64 {
        if matches!(self.codec, Codec::Identity) {
            return u64::MAX;
        }
        let in_proportion = self.bytes_in.saturating_mul(EXPANSION_MAX);
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
            Codec::Brotli(state) => brotli_step(state, input, out),
            Codec::Zstd(decoder) => zstd_step(decoder, input, out),
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

fn brotli_step(state: &mut Brotli, input: &[u8], out: &mut [u8]) -> Result<Step, InflateError> {
    let (mut read, mut wrote, mut total) = (0, 0, 0);
    let (mut input_left, mut out_left) = (input.len(), out.len());
    let result = BrotliDecompressStream(
        &mut input_left,
        &mut read,
        input,
        &mut out_left,
        &mut wrote,
        out,
        &mut total,
        state,
    );
    match result {
        BrotliResult::ResultFailure => Err(InflateError::Malformed),
        // What follows a whole stream is no part of it.
        BrotliResult::ResultSuccess => Ok(Step {
            read: input.len(),
            wrote,
        }),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(Step { read, wrote }),
    }
}

fn zstd_decoder() -> Option<ZstdDecoder<'static>> {
    let mut decoder = ZstdDecoder::new().ok()?;
    decoder
        .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
        .ok()?;
    Some(decoder)
}

fn zstd_step(
    decoder: &mut ZstdDecoder<'static>,
    input: &[u8],
    out: &mut [u8],
) -> Result<Step, InflateError> {
    let mut from = InBuffer::around(input);
    let mut to = OutBuffer::around(out);
    // Frames may follow each other: the decoder begins the next by itself.
    decoder
        .run(&mut from, &mut to)
        .map_err(|_| InflateError::Malformed)?;
    Ok(Step {
        read: from.pos(),
        wrote: to.pos(),
    })
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod encode;
#[cfg(test)]
mod tests;
