//! Reading an answer as it passes, and what it turns out to have used.

use super::head::single;
use super::message::{Effect, HeaderEdits, Metadata, Origin, ResponseHead};
use super::open_call::{OpenCall, ToldHeader};
use super::rules_told;
use super::verdict::{self, Seen};
use crate::protocol::Endpoint;
use crate::protocol::answer::{AnswerKind, AnswerReader, Pass};
use crate::protocol::inflate::Encoding;
use crate::protocol::rate_headers;
use crate::tokens::{Counting, StreamCount, TAIL_BYTES_MAX};
use crate::units::UnixMillis;
use std::fmt;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The gateway passed its last byte on.
    OfAnswer,
    /// Client, provider or gateway went away before.
    Cut,
}

/// An answer being read.
pub(super) struct Answering {
    call: OpenCall,
    status: u16,
    origin: Origin,
    /// `None` where the answer is in a coding that can't be read.
    reader: Option<AnswerReader>,
    /// The reader has been told that nothing follows.
    read_to_end: bool,
    first_token_at: Option<UnixMillis>,
    /// Of the text that is no longer with the reader.
    counted: StreamCount,
    counting: Counting,
}

/// Names the call; of the answer there is nothing that may be shown.
impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, status, .. } = self;
        f.debug_struct("Answering")
            .field("call", &call.id)
            .field("status", status)
            .finish_non_exhaustive()
    }
}

impl Answering {
    pub fn begin(call: OpenCall, head: ResponseHead, counting: Counting) -> (Self, HeaderEdits) {
        let header = |name| single(&head.headers, name).ok().flatten();
        let status = header(":status")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let kind = call
            .endpoint
            .answer_kind(header("content-type").unwrap_or(""));
        // Of what nobody can read, nothing is kept.
        let encoding = Encoding::from_header(header("content-encoding").unwrap_or(""))
            .filter(|_| call.endpoint != Endpoint::Other);
        let strip_usage = call.strip_usage && kind == AnswerKind::Sse && status < 300;
        let mut reader = encoding
            .map(|encoding| AnswerReader::new(call.endpoint.rules(), kind, encoding, strip_usage));
        if let Some(reader) = &mut reader {
            for (name, value) in &head.headers {
                reader.header(name, std::str::from_utf8(value).unwrap_or(""));
            }
        }
        let mut remove = Vec::new();
        if strip_usage && reader.is_some() {
            remove.push("content-length".to_owned());
        }
        if reader.as_ref().is_some_and(AnswerReader::decodes) {
            remove.push("content-encoding".to_owned());
        }
        let set = call
            .rate_headers
            .iter()
            .filter_map(known_rate_header)
            .collect();
        let answering = Self {
            counted: StreamCount::new(call.vocabulary),
            counting,
            call,
            status,
            origin: head.origin,
            reader,
            read_to_end: false,
            first_token_at: None,
        };
        (answering, HeaderEdits { remove, set })
    }

    /// Reads one chunk; what the client gets in its place, if anything else.
    pub fn read(&mut self, chunk: &[u8], end: bool, now: UnixMillis) -> Option<Vec<u8>> {
        let reader = self.reader.as_mut()?;
        let pass = reader.push(chunk, end);
        self.read_to_end = end;
        if self.first_token_at.is_none() && reader.has_content() {
            self.first_token_at = Some(now);
        }
        if reader.text_len() > TAIL_BYTES_MAX {
            self.count_text();
        }
        match pass {
            Pass::Unchanged => None,
            Pass::Replace(bytes) => Some(bytes),
        }
    }

    /// The settlement, and what the access log learns.
    pub fn finish(mut self, end: End, now: UnixMillis) -> (Effect, Metadata) {
        if !self.read_to_end {
            // Trailers or a break ended it: what has come is all there is.
            self.read(&[], true, now);
        }
        let usage_known = self.reader.as_ref().is_some_and(|reader| {
            let answer = reader.answer();
            answer.complete && !answer.unreadable && answer.usage.is_some()
        });
        if !usage_known {
            self.count_text();
        }
        let dropped_bytes = self
            .reader
            .as_ref()
            .map_or(0, AnswerReader::text_dropped_bytes);
        // Of text that was not kept, a token is at least a byte.
        let counted = self.counted.finish().0.saturating_add(dropped_bytes);
        let counted_tokens = self.call.token_ratio.apply(counted);
        let seen = Seen {
            status: self.status,
            origin: self.origin,
            whole: end == End::OfAnswer,
            answer: self
                .reader
                .as_ref()
                .map(|reader| reader.answer().clone())
                .unwrap_or_default(),
            counted_tokens,
            first_token_at: self.first_token_at,
        };
        verdict::settle(self.call, seen, now)
    }

    fn count_text(&mut self) {
        if let Some(reader) = self.reader.as_mut() {
            // Choices that come by turns are counted apart: a token that two of
            // them seem to share would be one too few.
            for (index, part) in reader.take_parts().parts().enumerate() {
                if index > 0 {
                    self.counted.cut();
                }
                self.counted.push(part, &self.counting);
            }
        }
    }
}

/// The headers that a door handed over are set only under their known names.
fn known_rate_header((name, value): &ToldHeader) -> Option<(&'static str, String)> {
    let known = rate_headers::known(name).or_else(|| rules_told::known(name))?;
    Some((known, value.clone()))
}
