//! Taking the usage events out of what the client sees.
//!
//! Such an event may lie across chunks, so only whole events are passed on:
//! the bytes of an unfinished one wait in the splitter. Those of a long event
//! go on their way, so that it can't be removed (a usage event is a few hundred
//! bytes).
//!
//! Always holds: every byte of the input is passed on once, in order, or
//! belongs to a removed event.

use super::Pass;
use crate::protocol::sse::{Piece, Splitter};

#[derive(Debug, Default)]
pub(super) struct Strip {
    removed_last: bool,
}

impl Strip {
    /// A piece has come to its end; `removable`: it is a usage event.
    pub(super) fn piece(&mut self, piece: &Piece<'_>, removable: bool, out: &mut Outgoing<'_>) {
        let remove = match piece {
            Piece::LineFeed(_) => self.removed_last,
            Piece::Event(_) => removable,
            Piece::Part(_) | Piece::Long(_) => false,
        };
        if remove {
            out.remove();
        } else {
            out.keep(piece.raw());
        }
        self.removed_last = remove;
    }
}

/// What the client gets for one chunk.
pub(super) struct Outgoing<'a> {
    chunk: &'a [u8],
    /// While `buf` is none: the bytes at the front of `chunk` that go out.
    /// They are copied only when something behind them does not.
    front: usize,
    buf: Option<Vec<u8>>,
}

impl<'a> Outgoing<'a> {
    /// For a chunk that is itself split.
    pub(super) fn of_chunk(chunk: &'a [u8], splitter: &Splitter) -> Self {
        let nothing_waits = splitter.pending().is_empty();
        Self {
            chunk,
            front: 0,
            buf: (!nothing_waits).then(|| Vec::with_capacity(chunk.len())),
        }
    }

    /// For bytes that are not the chunk's own.
    pub(super) fn collected() -> Outgoing<'static> {
        Outgoing {
            chunk: &[],
            front: 0,
            buf: Some(Vec::new()),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        match &mut self.buf {
            Some(buf) => buf.extend_from_slice(bytes),
            None => self.front += bytes.len(),
        }
    }

    fn remove(&mut self) {
        let front = self.chunk.get(..self.front).unwrap_or_default();
        self.buf.get_or_insert_with(|| front.to_vec());
    }

    pub(super) fn into_pass(self) -> Pass {
        match self.buf {
            Some(buf) => Pass::Replace(buf),
            None if self.front == self.chunk.len() => Pass::Unchanged,
            None => Pass::Replace(self.chunk.get(..self.front).unwrap_or_default().to_vec()),
        }
    }
}
