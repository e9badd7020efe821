//! Undoing the content coding of bytes that are all there: a request's body.
//!
//! Always holds: what comes out is the whole of what was coded, or nothing. A
//! stream that was cut, or has anything behind its end, is an error, as servers
//! differ in what they make of either.

use super::{Encoding, Inflate, InflateError, Rest, as_u64};

/// How much is decoded before the bound is looked at again: what is decoded in
/// vain, and kept by nobody, stays near this times a thousand, 4 MiB.
const SLICE_BYTES: usize = 4 << 10;

/// Why bytes can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WholeError {
    #[error("the bytes are not a whole stream of the declared content coding, and nothing else")]
    Malformed,
    #[error("the content coding expands more than is allowed")]
    Expands,
    #[error("what was coded is larger than is allowed")]
    TooLarge,
}

/// All that `coded` holds, at most `bytes_max` bytes.
///
/// # Errors
/// Bytes that are no whole stream of the coding, or that hold more than is
/// allowed. Memory stays within `bytes_max` and a decoder's window, whatever
/// they hold.
pub fn whole(encoding: Encoding, coded: &[u8], bytes_max: usize) -> Result<Vec<u8>, WholeError> {
    let mut inflate = Inflate::new(encoding);
    inflate.bytes_due = as_u64(coded.len());
    let mut out = Vec::new();
    let mut fits = true;
    for slice in coded.chunks(SLICE_BYTES) {
        let pushed = inflate.push(slice, &mut |piece| {
            fits = fits && piece.len() <= bytes_max.saturating_sub(out.len());
            if fits {
                out.extend_from_slice(piece);
            }
        });
        if !fits {
            return Err(WholeError::TooLarge);
        }
        pushed.map_err(|error| match error {
            InflateError::Malformed => WholeError::Malformed,
            InflateError::TooLarge => WholeError::Expands,
        })?;
    }
    match inflate.rest() {
        Rest::None => Ok(out),
        Rest::Due | Rest::Junk => Err(WholeError::Malformed),
    }
}
