//! What an answer used, read as its bytes stream by.
//!
//! An [`AnswerReader`] sees every chunk of one answer, in whatever form, plain
//! or compressed, split anywhere; its [`Rules`] say what the dialect means. It says what the client gets instead
//! of a chunk (nearly always the chunk itself) and knows, at any moment, the
//! [`Answer`] so far and the text to count where the provider reports no
//! usage.
//!
//! Always holds: what the client gets, joined, is the input, or with
//! `strip_usage` the decoded input without the usage events and nothing else.
//! Odd figures are left out and flagged, so that nothing a provider sends can
//! become a credit. Memory is bounded by named constants: an open stream usually
//! holds a few KiB, with an image or another giant string passing through less
//! than 64 KiB, besides a decoder's own window where the answer is compressed.
//!
//! Left to others: headers, counting the text, prices.

mod body;
pub(super) mod heard;
pub(super) mod modality;
mod reading;
pub(super) mod rules;
pub(super) mod spoken;
mod strip;
pub(super) mod table;
pub(super) mod text;
pub(super) mod usage;
pub(super) mod value;

use crate::protocol::inflate::{Encoding, Inflate, InflateError};
use crate::protocol::{Answer, event_stream, json_stream, sse};
use body::Body;
use reading::Reading;
use strip::{Outgoing, Strip};
use text::{Text, TextPieces};
use usage::{Count, Figure, Report};

pub use body::{BODY_BYTES_MAX, BODY_PLAIN_BYTES_MAX, BODY_STRING_BYTES_MAX, BODY_TAIL_BYTES};
pub use reading::{CHOICES_MAX, FINISH_REASON_BYTES_MAX, MODEL_BYTES_MAX};
pub use rules::Rules;
pub use text::{JSON_TEXT_BYTES_MAX, STREAM_TEXT_BYTES_MAX, Taken};
pub use usage::TOKENS_MAX;

/// What form an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// One JSON object.
    Json,
    /// `text/event-stream`.
    Sse,
    /// JSON objects, one a line or as the items of an array.
    JsonStream,
    /// AWS's binary frames.
    EventStream,
    /// The output itself, as text.
    Text,
    /// The output itself, which is no text.
    Binary,
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
        splitter: sse::Splitter,
        /// Where usage events are removed.
        strip: Option<Strip>,
    },
    JsonStream(json_stream::Splitter),
    EventStream(event_stream::Splitter),
    Text(TextPieces),
    Binary,
}

impl AnswerReader {
    /// `strip_usage`: the usage events of the stream were asked for by weir,
    /// not by the client, who must not see them. Nothing is ever removed from
    /// a JSON answer.
    pub fn new(
        rules: &'static Rules,
        kind: AnswerKind,
        encoding: Encoding,
        strip_usage: bool,
    ) -> Self {
        let form = match kind {
            AnswerKind::Json => Form::Json(Body::default()),
            AnswerKind::Sse => Form::Sse {
                splitter: sse::Splitter::default(),
                strip: strip_usage.then(Strip::default),
            },
            AnswerKind::JsonStream => Form::JsonStream(json_stream::Splitter::default()),
            AnswerKind::EventStream => Form::EventStream(event_stream::Splitter::default()),
            AnswerKind::Text => Form::Text(TextPieces::default()),
            AnswerKind::Binary => Form::Binary,
        };
        let text_bytes_max = match kind {
            AnswerKind::Json => JSON_TEXT_BYTES_MAX,
            _ => STREAM_TEXT_BYTES_MAX,
        };
        Self {
            form,
            inflate: (encoding != Encoding::Identity).then(|| Inflate::new(encoding)),
            broken: false,
            ended: false,
            reading: Reading::new(rules, Text::new(text_bytes_max)),
        }
    }

    /// Takes in what a header of the answer says of its usage; names are in
    /// lower case. The body's own figures go before.
    pub fn header(&mut self, name: &str, value: &str) {
        let figure = match name {
            "x-amzn-bedrock-input-token-count" => Figure::FreshPrompt,
            "x-amzn-bedrock-output-token-count" => Figure::Completion,
            "x-amzn-bedrock-cache-read-input-token-count" => Figure::Cached,
            "x-amzn-bedrock-cache-write-input-token-count" => Figure::CacheWrite,
            _ => return,
        };
        let mut report = Report::default();
        report.say(figure, value.trim().parse().map_or(Count::Odd, Count::of));
        self.reading.beside(&report);
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
        self.take_parts().text
    }

    /// As [`Self::take_text`], with the places where another choice goes on, so
    /// that no token is counted across two of them.
    pub fn take_parts(&mut self) -> Taken {
        self.reading.text.take()
    }

    /// How much memory is in use beside the reader itself and a decoder's
    /// window: what waits of the answer, and of its text.
    pub fn bytes_held(&self) -> usize {
        let form = match &self.form {
            Form::Json(body) => body.bytes_held(),
            Form::Sse { splitter, .. } => splitter.bytes_held(),
            Form::JsonStream(splitter) => splitter.bytes_held(),
            Form::EventStream(splitter) => splitter.bytes_held(),
            Form::Text(_) | Form::Binary => 0,
        };
        form + self.reading.text.bytes_held()
    }

    /// Bytes of output text that were not kept, as nobody made room or as they
    /// belong to a very long string; there at most so many.
    pub fn text_dropped_bytes(&self) -> u64 {
        self.reading.text.dropped_bytes()
    }

    fn push_plain(&mut self, chunk: &[u8], end: bool) -> Pass {
        let mut out = self
            .form
            .outgoing(|splitter| Outgoing::of_chunk(chunk, splitter));
        self.form.read(chunk, &mut self.reading, &mut out);
        self.form.pass(end, &mut self.reading, out)
    }

    /// As [`Self::push_plain`], of what the decoder makes of the chunk.
    fn push_coded(&mut self, chunk: &[u8], end: bool) -> Pass {
        let mut out = self.form.outgoing(|_| Outgoing::collected());
        let Self { form, reading, .. } = self;
        decode(&mut self.inflate, chunk, &mut |piece| {
            form.read(piece, reading, &mut out);
        });
        let pass = form.pass(end, reading, out);
        if self.inflate.is_none() {
            self.broken = true;
            self.reading.answer.unreadable = true;
        }
        pass
    }

    fn finish(&mut self) {
        let reading = &mut self.reading;
        match &mut self.form {
            Form::Json(body) => std::mem::take(body).finish(reading),
            Form::Sse { .. } => reading.end_stream(false),
            Form::JsonStream(splitter) => reading.end_stream(!splitter.is_between_values()),
            Form::EventStream(splitter) => reading.end_stream(!splitter.is_between_frames()),
            Form::Text(_) | Form::Binary => reading.answer.complete = true,
        }
    }
}

impl Form {
    /// Where what the client gets is gathered, if it isn't simply the input.
    fn outgoing<'c>(
        &self,
        gather: impl FnOnce(&sse::Splitter) -> Outgoing<'c>,
    ) -> Option<Outgoing<'c>> {
        match self {
            Form::Sse {
                splitter,
                strip: Some(_),
            } => Some(gather(splitter)),
            _ => None,
        }
    }

    fn read(&mut self, bytes: &[u8], reading: &mut Reading, out: &mut Option<Outgoing<'_>>) {
        match self {
            Form::Json(body) => body.push(bytes),
            Form::Sse { splitter, strip } => {
                splitter.push(bytes, &mut |piece| take_piece(piece, strip, reading, out));
            }
            Form::JsonStream(splitter) => {
                splitter.push(bytes, &mut |piece| reading.value(piece));
            }
            Form::EventStream(splitter) => {
                splitter.push(bytes, &mut |piece| reading.frame(piece));
            }
            Form::Text(pieces) => pieces.push(bytes, &mut reading.text),
            Form::Binary => {}
        }
    }

    /// The chunk has been read; `end`: it was the last.
    fn pass(&mut self, end: bool, reading: &mut Reading, out: Option<Outgoing<'_>>) -> Pass {
        let Form::Sse { splitter, strip } = self else {
            return Pass::Unchanged;
        };
        let mut out = out;
        if end {
            splitter.finish(&mut |piece| take_piece(piece, strip, reading, &mut out));
        }
        match (strip, out) {
            (Some(_), Some(out)) => out.into_pass(),
            _ => Pass::Unchanged,
        }
    }
}

fn take_piece(
    mut piece: sse::Piece<'_>,
    strip: &mut Option<Strip>,
    reading: &mut Reading,
    out: &mut Option<Outgoing<'_>>,
) {
    let removable = reading.piece(&mut piece);
    if let (Some(strip), Some(out)) = (strip.as_mut(), out.as_mut()) {
        strip.piece(&piece, removable, out);
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

#[cfg(test)]
mod tests;
