//! The `deflate` content coding: zlib by the standard, bare deflate by habit.
//!
//! Always holds: which of the two it is, is decided by the first two bytes
//! alone, so it can't depend on how the stream was split.

use super::{InflateError, Rest, Step};
use flate2::{Decompress, FlushDecompress, Status};

/// A decoder of zlib or bare deflate.
pub(super) enum Deflate {
    /// Waiting for two bytes; the first may be here.
    Start(Option<u8>),
    Body(Decompress),
    /// The stream came to its end; what follows is no part of it.
    End(Rest),
}

impl Deflate {
    pub(super) fn new() -> Self {
        Deflate::Start(None)
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, InflateError> {
        match self {
            Deflate::Start(None) => {
                *self = Deflate::Start(input.first().copied());
                Ok(Step {
                    read: input.len().min(1),
                    wrote: 0,
                })
            }
            Deflate::Start(Some(first)) => {
                let Some(second) = input.first().copied() else {
                    return Ok(Step { read: 0, wrote: 0 });
                };
                let lead = [*first, second];
                let mut body = Decompress::new(is_zlib(lead));
                let (step, ended) = inflate(&mut body, &lead, out)?;
                *self = if ended {
                    Deflate::End(Rest::None)
                } else {
                    Deflate::Body(body)
                };
                Ok(Step {
                    read: 1,
                    wrote: step.wrote,
                })
            }
            Deflate::Body(body) => {
                let (step, ended) = inflate(body, input, out)?;
                if ended {
                    *self = Deflate::End(Rest::None);
                }
                Ok(step)
            }
            Deflate::End(rest) => Ok(rest.pass(input)),
        }
    }

    pub(super) fn rest(&self) -> Rest {
        match self {
            Deflate::Start(_) | Deflate::Body(_) => Rest::Due,
            Deflate::End(rest) => *rest,
        }
    }
}

/// Whether two bytes begin a zlib stream: method 8, a window of at most
/// 32 KiB, and a checksum over both (RFC 1950, 2.2).
fn is_zlib([method, flags]: [u8; 2]) -> bool {
    method & 0x0f == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]) % 31 == 0
}

/// One step of bare or zlib inflation, and whether the stream came to its end.
pub(super) fn inflate(
    body: &mut Decompress,
    input: &[u8],
    out: &mut [u8],
) -> Result<(Step, bool), InflateError> {
    let (in_before, out_before) = (body.total_in(), body.total_out());
    let status = body
        .decompress(input, out, FlushDecompress::None)
        .map_err(|_| InflateError::Malformed)?;
    let read = usize::try_from(body.total_in().saturating_sub(in_before));
    let wrote = usize::try_from(body.total_out().saturating_sub(out_before));
    let (Ok(read), Ok(wrote)) = (read, wrote) else {
        return Err(InflateError::Malformed);
    };
    Ok((Step { read, wrote }, status == Status::StreamEnd))
}
