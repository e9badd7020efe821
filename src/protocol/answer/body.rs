//! A JSON answer, kept until it is whole.
//!
//! A body past [`BODY_BYTES_MAX`] is not parsed: only its two ends are kept,
//! and usage and model are looked for there (embeddings, the longest answers,
//! put both at the end). Looking for a bare `"usage"` is safe: inside a JSON
//! string the quotes would be escaped.
//!
//! Always holds: at most [`BODY_BYTES_MAX`] bytes are kept, and a chunk.

use super::heard::{self, Extent, Heard};
use super::reading::Reading;
use memchr::memmem;

/// The largest JSON answer that is parsed: an embeddings call of some hundred
/// inputs, a chat answer with all its log probabilities.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// How much of each end of a longer answer is kept.
pub const BODY_TAIL_BYTES: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Default)]
pub(super) struct Body {
    /// The whole body so far, or its first bytes where there is a tail.
    head: Vec<u8>,
    /// The last bytes of a body that is too long; at most twice
    /// [`BODY_TAIL_BYTES`].
    tail: Option<Vec<u8>>,
}

impl Body {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match &mut self.tail {
            Some(tail) => push_last(tail, bytes),
            None if self.head.len().saturating_add(bytes.len()) <= BODY_BYTES_MAX => {
                self.head.extend_from_slice(bytes);
            }
            None => {
                let mut tail = Vec::new();
                push_last(&mut tail, &self.head);
                push_last(&mut tail, bytes);
                self.tail = Some(tail);
                // The head may be shorter than its bound where a giant chunk
                // comes early.
                let room = BODY_TAIL_BYTES.saturating_sub(self.head.len());
                let more = bytes.get(..room.min(bytes.len())).unwrap_or_default();
                self.head.extend_from_slice(more);
                self.head.truncate(BODY_TAIL_BYTES);
                self.head.shrink_to_fit();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        self.head.capacity() + self.tail.as_ref().map_or(0, Vec::capacity)
    }

    /// The body is over: reads it.
    pub(super) fn finish(self, reading: &mut Reading) {
        match self.tail {
            None => finish_whole(&self.head, reading),
            Some(tail) => finish_ends(&self.head, &tail, reading),
        }
    }
}

fn finish_whole(body: &[u8], reading: &mut Reading) {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return;
    }
    let rules = reading.rules;
    match rules.body.read(body, Extent::All, &mut reading.text) {
        Ok(heard) => {
            reading.heard(heard);
            reading.answer.complete = true;
        }
        Err(_) => reading.answer.unreadable = true,
    }
}

fn finish_ends(head: &[u8], tail: &[u8], reading: &mut Reading) {
    let tail = tail
        .get(tail.len().saturating_sub(BODY_TAIL_BYTES)..)
        .unwrap_or_default();
    let ends = &reading.rules.ends;
    let usage = member(tail, ends.usage_name.as_bytes()).and_then(|behind| {
        let heard = ends.usage.read(behind, Extent::Front, &mut reading.text);
        heard.ok()?.usage
    });
    let model = [tail, head].into_iter().find_map(|part| {
        let behind = member(part, ends.model_name.as_bytes())?;
        heard::read_word(behind)
    });
    let closed = tail.trim_ascii_end().last() == Some(&b'}');
    reading.answer.complete = usage.is_some() && closed;
    reading.answer.unreadable |= !reading.answer.complete;
    reading.heard(Heard {
        model,
        usage,
        ..Heard::default()
    });
}

/// What stands behind the last member of that (quoted) name.
fn member<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = memmem::rfind(bytes, name)?;
    let behind = bytes.get(at + name.len()..)?.trim_ascii_start();
    behind.strip_prefix(b":")
}

/// Appends, letting go of bytes that are no longer among the last.
fn push_last(tail: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bytes
        .get(bytes.len().saturating_sub(BODY_TAIL_BYTES)..)
        .unwrap_or_default();
    if tail.len().saturating_add(bytes.len()) > 2 * BODY_TAIL_BYTES {
        let surplus = tail.len().saturating_sub(BODY_TAIL_BYTES);
        tail.drain(..surplus);
    }
    tail.extend_from_slice(bytes);
}
