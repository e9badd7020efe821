//! The `zstd` content coding (RFC 8878): frames, one after the other.

use super::{InflateError, Rest, Step};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::DParameter;

/// The largest window, as a power of two: 8 MiB, the most that RFC 9659 allows
/// in a content coding. It bounds what a frame's header can make the decoder
/// allocate.
const WINDOW_LOG_MAX: u32 = 23;

/// A decoder of Zstandard.
pub(super) struct Zstd {
    decoder: Decoder<'static>,
    /// What has come ends where a frame does.
    at_frame_end: bool,
}

impl Zstd {
    /// `None` where a decoder can't be set up.
    pub(super) fn new() -> Option<Self> {
        let mut decoder = Decoder::new().ok()?;
        decoder
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .ok()?;
        Some(Self {
            decoder,
            at_frame_end: false,
        })
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, InflateError> {
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(out);
        // Frames may follow each other: the decoder begins the next by itself.
        let wanted = self
            .decoder
            .run(&mut from, &mut to)
            .map_err(|_| InflateError::Malformed)?;
        let step = Step {
            read: from.pos(),
            wrote: to.pos(),
        };
        // Asked without any input, it wants the next frame.
        if step.read > 0 || step.wrote > 0 {
            self.at_frame_end = wanted == 0;
        }
        Ok(step)
    }

    pub(super) fn rest(&self) -> Rest {
        match self.at_frame_end {
            true => Rest::None,
            false => Rest::Due,
        }
    }
}
