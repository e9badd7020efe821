//! A JSON answer, kept until it is whole.
//!
//! Of a body past [`BODY_PLAIN_BYTES_MAX`], long strings are kept by their
//! fronts alone: images in base64 make answers of many MiB. One that is past
//! [`BODY_BYTES_MAX`] even so is not parsed: only its two ends are kept,
//! and usage and model are looked for there (embeddings, the longest answers,
//! put both at the end). Looking for a bare `"usage"` is safe: inside a JSON
//! string the quotes would be escaped.
//!
//! Always holds: at most [`BODY_BYTES_MAX`] bytes are kept, and a chunk; what
//! is read doesn't depend on how the body was split.

use super::heard::{self, Extent, Heard};
use super::reading::Reading;
use crate::protocol::condense::{Bounds, Condensed, Condenser};
use memchr::memmem;

/// The largest JSON answer that is kept as it came.
pub const BODY_PLAIN_BYTES_MAX: usize = 1 << 20;

/// The most that is kept of a larger one in order to parse it: an embeddings
/// call of some hundred inputs, a chat answer with all its log probabilities.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// How much is kept of a string in a larger answer: a long text's, though not
/// an image's.
pub const BODY_STRING_BYTES_MAX: usize = 64 << 10;

/// How much of each end of a longer answer is kept.
pub const BODY_TAIL_BYTES: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug)]
pub(super) enum Body {
    Plain(Vec<u8>),
    Condensed(Condenser),
    Ends {
        head: Vec<u8>,
        /// The last bytes; at most twice [`BODY_TAIL_BYTES`].
        tail: Vec<u8>,
    },
}

impl Default for Body {
    fn default() -> Self {
        Body::Plain(Vec::new())
    }
}

impl Body {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Body::Plain(body) = self {
            if body.len().saturating_add(bytes.len()) <= BODY_PLAIN_BYTES_MAX {
                body.extend_from_slice(bytes);
                return;
            }
            let body = std::mem::take(body);
            *self = Body::Condensed(Condenser::new(Bounds {
                bytes_max: BODY_BYTES_MAX,
                string_bytes_max: BODY_STRING_BYTES_MAX,
            }));
            self.push_long(&body);
        }
        self.push_long(bytes);
    }

    fn push_long(&mut self, mut bytes: &[u8]) {
        if let Body::Condensed(condenser) = self {
            let taken = condenser.push(bytes);
            if !condenser.is_full() {
                return;
            }
            bytes = bytes.get(taken..).unwrap_or_default();
            self.keep_ends();
        }
        if let Body::Ends { tail, .. } = self {
            push_last(tail, bytes);
        }
    }

    fn keep_ends(&mut self) {
        let Body::Condensed(condenser) = std::mem::take(self) else {
            return;
        };
        let mut head = condenser.into_kept();
        let mut tail = Vec::new();
        push_last(&mut tail, &head);
        head.truncate(BODY_TAIL_BYTES);
        head.shrink_to_fit();
        *self = Body::Ends { head, tail };
    }

    pub(super) fn bytes_held(&self) -> usize {
        match self {
            Body::Plain(body) => body.capacity(),
            Body::Condensed(condenser) => condenser.bytes_held(),
            Body::Ends { head, tail } => head.capacity() + tail.capacity(),
        }
    }

    /// The body is over: reads it.
    pub(super) fn finish(self, reading: &mut Reading) {
        match self {
            Body::Plain(body) => finish_whole(&body, reading),
            Body::Condensed(condenser) => finish_condensed(condenser.finish(), reading),
            Body::Ends { head, tail } => finish_ends(&head, &tail, reading),
        }
    }
}

fn finish_condensed(condensed: Option<Condensed>, reading: &mut Reading) {
    let Some(Condensed { json, cuts }) = condensed else {
        reading.answer.unreadable = true;
        return;
    };
    reading.text.expect_cuts(cuts);
    finish_whole(&json, reading);
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
