//! What an answer used, read as its bytes stream by.
//!
//! An [`AnswerReader`] sees every chunk of one answer, JSON or event stream,
//! plain or compressed, split anywhere. It says what the client gets instead
//! of a chunk (nearly always the chunk itself) and knows, at any moment, the
//! [`Answer`] so far and the text to count where the provider reports no
//! usage.
//!
//! Always holds: what the client gets, joined, is the input, or with
//! `strip_usage` the decoded input without the usage events and nothing else.
//! Reported figures only ever grow; odd ones are left out and flagged, so that
//! nothing a provider sends can become a credit. Memory is bounded by named
//! constants: per open stream a few KiB beyond the unfinished event, besides
//! a decoder's own window where the answer is compressed.
//!
//! Left to others: headers, counting the text, prices.

mod body;
mod chunk;
mod reading;
mod strip;
mod text;
mod usage;

use crate::protocol::Answer;
use crate::protocol::inflate::{Encoding, Inflate, InflateError};
use crate::protocol::sse::Splitter;
use body::Body;
use reading::Reading;
use strip::{Outgoing, Strip};
use text::Text;

pub use body::{BODY_BYTES_MAX, BODY_TAIL_BYTES};
pub use reading::{CHOICES_MAX, FINISH_REASON_BYTES_MAX, MODEL_BYTES_MAX};
pub use strip::HELD_BYTES_MAX;
pub use text::{JSON_TEXT_BYTES_MAX, STREAM_TEXT_BYTES_MAX};
pub use usage::TOKENS_MAX;

/// What form the answer has, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    Json,
    /// `text/event-stream`.
    Sse,
}

/// What the client gets for a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    Unchanged,
    /// These bytes instead; possibly none.
    Replace(Vec<u8>),
}

/// Reads one answer.
pub struct AnswerReader {
    form: Form,
    /// The decoder of a compressed answer.
    inflate: Option<Inflate>,
    /// The coding could not be undone (any further).
    broken: bool,
    ended: bool,
    reading: Reading,
}

enum Form {
    Json(Body),
    Sse {
        splitter: Splitter,
        /// Where usage events are removed.
        strip: Option<Strip>,
    },
}

impl AnswerReader {
    /// `strip_usage`: the usage events of the stream were asked for by weir,
    /// not by the client, who must not see them. Nothing is ever removed from
    /// a JSON answer.
    pub fn new(kind: AnswerKind, encoding: Encoding, strip_usage: bool) -> Self {
        let (form, text_bytes_max) = match kind {
            AnswerKind::Json => (Form::Json(Body::default()), JSON_TEXT_BYTES_MAX),
            AnswerKind::Sse => (
                Form::Sse {
                    splitter: Splitter::default(),
                    strip: strip_usage.then(Strip::default),
                },
                STREAM_TEXT_BYTES_MAX,
            ),
        };
        Self {
            form,
            inflate: (encoding != Encoding::Identity).then(|| Inflate::new(encoding)),
            broken: false,
            ended: false,
            reading: Reading::new(Text::new(text_bytes_max)),
        }
    }

    /// Whether the client gets the decoded stream, so that `content-encoding`
    /// must be taken off the answer. Known from the start; never changes.
    pub fn decodes(&self) -> bool {
        let strips = matches!(self.form, Form::Sse { strip: Some(_), .. });
        strips && (self.inflate.is_some() || self.broken)
    }

    /// Whether the coding could not be undone. Where [`Self::decodes`], the
    /// client's stream can't go on: nothing more comes out, and the caller
    /// should end it with an error.
    pub fn broken(&self) -> bool {
        self.broken
    }

    /// Takes the next chunk of the answer; `end`: it is the last one. After
    /// the end nothing is read any more.
    pub fn push(&mut self, chunk: &[u8], end: bool) -> Pass {
        if self.ended {
            return Pass::Unchanged;
        }
        self.ended = end;
        let pass = if self.inflate.is_some() || self.broken {
            self.push_coded(chunk, end)
        } else {
            self.push_plain(chunk, end)
        };
        if end {
            self.finish();
        }
        pass
    }

    /// What has been read so far.
    pub fn answer(&self) -> &Answer {
        &self.reading.answer
    }

    /// Whether the model has begun to speak: some output text was seen.
    pub fn has_content(&self) -> bool {
        self.reading.text.has_content()
    }

    /// Bytes of output text that wait to be taken.
    pub fn text_len(&self) -> usize {
        self.reading.text.len()
    }

    /// Takes the output text read since the last time: content, refusals,
    /// reasoning and the arguments of tool calls, of all choices, in the order
    /// in which they came. Taking it makes room for more.
    pub fn take_text(&mut self) -> String {
        self.reading.text.take()
    }

    /// Bytes of output text that were not kept, as nobody made room.
    pub fn text_dropped_bytes(&self) -> u64 {
        self.reading.text.dropped_bytes()
    }

    fn push_plain(&mut self, chunk: &[u8], end: bool) -> Pass {
        match &mut self.form {
            Form::Json(body) => {
                body.push(chunk);
                Pass::Unchanged
            }
            Form::Sse { splitter, strip } => {
                let mut out = strip.as_ref().map(|_| Outgoing::of_chunk(chunk, splitter));
                read_events(splitter, strip, &mut self.reading, &mut out, chunk);
                if end {
                    finish_events(splitter, strip, &mut self.reading, &mut out);
                }
                match (strip, out) {
                    (Some(strip), Some(mut out)) => {
                        strip.release(splitter.pending(), &mut out);
                        out.into_pass()
                    }
                    _ => Pass::Unchanged,
                }
            }
        }
    }

    /// As [`Self::push_plain`], of what the decoder makes of the chunk.
    fn push_coded(&mut self, chunk: &[u8], end: bool) -> Pass {
        let result = match &mut self.form {
            Form::Json(body) => {
                decode(&mut self.inflate, chunk, &mut |piece| body.push(piece));
                Pass::Unchanged
            }
            Form::Sse { splitter, strip } => {
                let mut out = strip.as_ref().map(|_| Outgoing::collected());
                let reading = &mut self.reading;
                decode(&mut self.inflate, chunk, &mut |piece| {
                    read_events(splitter, strip, reading, &mut out, piece);
                });
                if end {
                    finish_events(splitter, strip, reading, &mut out);
                }
                match (strip, out) {
                    (Some(strip), Some(mut out)) => {
                        strip.release(splitter.pending(), &mut out);
                        out.into_pass()
                    }
                    _ => Pass::Unchanged,
                }
            }
        };
        if self.inflate.is_none() {
            self.broken = true;
            self.reading.answer.unreadable = true;
        }
        result
    }

    fn finish(&mut self) {
        match &mut self.form {
            Form::Json(body) => std::mem::take(body).finish(&mut self.reading),
            Form::Sse { .. } => self.reading.end_stream(),
        }
    }
}

/// Decodes a chunk; a decoder that fails is dropped.
fn decode(inflate: &mut Option<Inflate>, chunk: &[u8], sink: &mut impl FnMut(&[u8])) {
    let result: Result<(), InflateError> = match inflate {
        Some(inflate) => inflate.push(chunk, sink),
        None => Ok(()),
    };
    if result.is_err() {
        *inflate = None;
    }
}

fn read_events(
    splitter: &mut Splitter,
    strip: &mut Option<Strip>,
    reading: &mut Reading,
    out: &mut Option<Outgoing<'_>>,
    bytes: &[u8],
) {
    splitter.push(bytes, &mut |piece| {
        let removable = reading.piece(&piece);
        if let (Some(strip), Some(out)) = (strip.as_mut(), out.as_mut()) {
            strip.piece(&piece, removable, out);
        }
    });
}

fn finish_events(
    splitter: &mut Splitter,
    strip: &mut Option<Strip>,
    reading: &mut Reading,
    out: &mut Option<Outgoing<'_>>,
) {
    splitter.finish(&mut |piece| {
        let removable = reading.piece(&piece);
        if let (Some(strip), Some(out)) = (strip.as_mut(), out.as_mut()) {
            strip.piece(&piece, removable, out);
        }
    });
}

#[cfg(test)]
mod tests;
