//! The `br` content coding (RFC 7932).
//!
//! Always holds: what follows a whole stream is no part of it, and is ignored.

use super::{InflateError, Rest, Step};
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// A decoder of Brotli.
pub(super) struct Brotli {
    state: State,
    rest: Rest,
}

impl Brotli {
    pub(super) fn new() -> Self {
        // Strict: without the "large window" extension, which browsers don't
        // speak and which could ask for a gigabyte.
        let state = State::new_strict(
            StandardAlloc::default(),
            StandardAlloc::default(),
            StandardAlloc::default(),
        );
        Self {
            state,
            rest: Rest::Due,
        }
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, InflateError> {
        if self.rest != Rest::Due {
            return Ok(self.rest.pass(input));
        }
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
            &mut self.state,
        );
        match result {
            BrotliResult::ResultFailure => return Err(InflateError::Malformed),
            BrotliResult::ResultSuccess => self.rest = Rest::None,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step { read, wrote })
    }

    pub(super) fn rest(&self) -> Rest {
        self.rest
    }
}
