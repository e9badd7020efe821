//! What has been understood of an answer so far.
//!
//! Always holds: an event counts whole or not at all; strings that are kept
//! are short.

use super::heard::{Extent, Heard};
use super::rules::{Figures, Rules, StreamEnd};
use super::text::Text;
use super::usage::Report;
use crate::protocol::condense::{Condensed, Cuts};
use crate::protocol::sse::{Event, LongData, Piece};
use crate::protocol::{Answer, event_stream, json_stream, service_tier};
use base64::Engine;
use serde::Deserialize;
use std::borrow::Cow;

/// The longest model name that is kept; a longer one is no model's name.
pub const MODEL_BYTES_MAX: usize = 256;

/// The longest finish reason that is kept.
pub const FINISH_REASON_BYTES_MAX: usize = 64;

/// The most choices of one answer that are told apart (OpenAI's own bound on
/// `n`). A stream with more is complete only by its end marker.
pub const CHOICES_MAX: u64 = 128;

pub(super) struct Reading {
    pub(super) answer: Answer,
    pub(super) text: Text,
    pub(super) rules: &'static Rules,
    /// All figures so far, where the last said counts.
    report: Report,
    /// Those that count where `report` says nothing.
    beside: Report,
    /// Searches that the answer showed so far.
    searches: u64,
    /// Choices by their index, one bit each.
    choices_seen: u128,
    choices_finished: u128,
    /// A choice had an index past [`CHOICES_MAX`].
    choices_beyond: bool,
    /// The last event's data could not be read: if nothing follows it, the
    /// stream was cut within it.
    cut: bool,
}

impl Reading {
    pub(super) fn new(rules: &'static Rules, text: Text) -> Self {
        Self {
            answer: Answer::default(),
            text,
            rules,
            report: Report::default(),
            beside: Report::default(),
            searches: 0,
            choices_seen: 0,
            choices_finished: 0,
            choices_beyond: false,
            cut: false,
        }
    }

    /// Reads a piece of an event stream, and says whether it is a usage event:
    /// one that exists only because usage was asked for. Takes the data of a
    /// long event out of it.
    pub(super) fn piece(&mut self, piece: &mut Piece<'_>) -> bool {
        match piece {
            Piece::Event(event) => self.event(event),
            Piece::Long(event) => {
                match std::mem::replace(&mut event.data, LongData::None) {
                    LongData::None => {}
                    LongData::Condensed(condensed) => {
                        self.text.expect_cuts(condensed.cuts);
                        self.data(&event.name, &condensed.json);
                        self.text.expect_cuts(Cuts::default());
                    }
                    LongData::Unreadable => {
                        self.answer.failed |= event.name == b"error";
                        self.unreadable();
                    }
                }
                false
            }
            Piece::Part(_) | Piece::LineFeed(_) => false,
        }
    }

    fn event(&mut self, event: &Event<'_>) -> bool {
        match &event.data {
            Some(data) => self.data(event.name, data),
            // Some write an error behind the events as it is, without a frame.
            None if event.raw.trim_ascii().starts_with(b"{") => self.data(event.name, event.raw),
            None => false,
        }
    }

    fn data(&mut self, name: &[u8], data: &[u8]) -> bool {
        let data = data.trim_ascii();
        if data.is_empty() {
            return false;
        }
        self.cut = true;
        if data == b"[DONE]" {
            self.answer.complete |= self.rules.stream == StreamEnd::Done;
            self.cut = false;
            return false;
        }
        self.answer.failed |= name == b"error";
        if !data.starts_with(b"{") {
            // Not a chunk of an answer: some servers ping with a bare word.
            return false;
        }
        self.object(name, data)
    }

    fn unreadable(&mut self) {
        self.answer.unreadable = true;
        self.cut = true;
    }

    /// A line, or an item of an array.
    pub(super) fn value(&mut self, piece: json_stream::Piece<'_>) {
        match piece {
            json_stream::Piece::Object(object) => {
                self.object(b"", object);
            }
            json_stream::Piece::Long(Some(condensed)) => self.condensed(b"", condensed),
            json_stream::Piece::Long(None) => self.unreadable(),
        }
    }

    /// Reads a long object of a stream.
    fn condensed(&mut self, name: &[u8], condensed: Condensed) {
        self.text.expect_cuts(condensed.cuts);
        self.object(name, &condensed.json);
        self.text.expect_cuts(Cuts::default());
    }

    /// A frame of AWS's event stream.
    pub(super) fn frame(&mut self, piece: event_stream::Piece<'_>) {
        match piece {
            event_stream::Piece::Frame(frame) if self.is_event(&frame) => {
                match unwrapped(frame.payload) {
                    Some(inner) => self.object(frame.name, &inner),
                    None => self.object(frame.name, frame.payload),
                };
            }
            event_stream::Piece::Frame(_) => {}
            event_stream::Piece::Long(frame, payload) => match payload {
                _ if !self.is_event(&frame) => {}
                Some(condensed) => self.condensed(frame.name, condensed),
                None => self.unreadable(),
            },
            event_stream::Piece::Overlong => self.answer.unreadable = true,
            event_stream::Piece::Corrupt => self.unreadable(),
        }
    }

    /// Whether a frame is an event; if not, the answer has failed.
    fn is_event(&mut self, frame: &event_stream::Frame<'_>) -> bool {
        if frame.message_type == b"event" {
            return true;
        }
        self.answer.failed = true;
        let reason = format!("exception:{}", String::from_utf8_lossy(frame.name));
        self.finished(Some(Cow::Owned(reason)));
        false
    }

    /// Reads one object of a stream, and says whether it is a usage event.
    fn object(&mut self, name: &[u8], data: &[u8]) -> bool {
        let rules = self.rules;
        let Ok(heard) = rules.event.read(data, Extent::All, &mut self.text) else {
            self.answer.unreadable = true;
            self.cut = true;
            return false;
        };
        self.cut = false;
        let kind = heard.kind.as_deref().map_or(name, str::as_bytes);
        let is = |words: &[&str]| words.iter().any(|word| word.as_bytes() == kind);
        self.answer.failed |= is(rules.failures);
        if let StreamEnd::Event(ends) = rules.stream {
            self.answer.complete |= heard.done || is(ends);
        }
        let is_usage_event = heard.no_choices && heard.usage.is_some() && !heard.error;
        self.heard(heard);
        is_usage_event
    }

    /// Takes in what an event or a body said.
    pub(super) fn heard(&mut self, heard: Heard<'_>) {
        let answer = &mut self.answer;
        answer.failed |= heard.error;
        if answer.model.is_none() {
            answer.model = heard
                .model
                .filter(|model| (1..=MODEL_BYTES_MAX).contains(&model.len()))
                .map(Into::into);
        }
        let tier = heard.service_tier.as_deref().and_then(service_tier::known);
        answer.service_tier = tier.or(answer.service_tier);
        self.choices_seen |= heard.choices_seen;
        self.choices_finished |= heard.choices_finished;
        self.choices_beyond |= heard.choices_beyond;
        self.answer.unreadable |= heard.usage_odd;
        let (usage, beside) = (heard.usage, heard.usage_beside);
        self.searches = self.rules.searches.after(self.searches, heard.searches);
        self.finished(match (heard.first_finish_reason, heard.finish_detail) {
            (Some(reason), Some(detail)) => Some(Cow::Owned(format!("{reason}:{detail}"))),
            (reason, _) => reason,
        });
        match self.rules.figures {
            Figures::Grow => {
                if let Some(report) = usage.or(beside) {
                    self.grown(&report);
                }
            }
            Figures::Last => {
                self.report.update(&usage.unwrap_or_default());
                self.beside(&beside.unwrap_or_default());
            }
        }
        self.tell_searches();
    }

    /// Counts searches that no report of usage tells of.
    fn tell_searches(&mut self) {
        if self.searches == 0 {
            return;
        }
        let model = self.answer.model.as_deref();
        let billed = self.rules.searches.billed(model, self.searches);
        self.answer.searches = Some(billed);
        if let Some(usage) = &mut self.answer.usage {
            usage.searches = usage.searches.max(Some(billed));
        }
    }

    fn finished(&mut self, reason: Option<Cow<'_, str>>) {
        let Some(reason) = reason.filter(|reason| !self.rules.unfinished.contains(&&**reason))
        else {
            return;
        };
        let fits = (1..=FINISH_REASON_BYTES_MAX).contains(&reason.len());
        self.answer.finish_reason = fits.then(|| reason.into());
    }

    /// Takes in figures that count where the answer itself says nothing.
    pub(super) fn beside(&mut self, report: &Report) {
        self.beside.update(report);
        let said = match self.report.is_empty() {
            true => &self.beside,
            false => &self.report,
        };
        if said.is_empty() {
            return;
        }
        let judged = said.judge(self.rules.no_output);
        self.answer.unreadable |= judged.odd;
        // A report without a single figure is no report.
        self.answer.usage = (!judged.is_empty()).then_some(judged.usage);
    }

    fn grown(&mut self, report: &Report) {
        let judged = report.judge(self.rules.no_output);
        self.answer.unreadable |= judged.odd;
        if !judged.is_empty() {
            let known = judged.after(self.answer.usage);
            self.answer.unreadable |= known.odd;
            self.answer.usage = Some(known.usage);
        }
    }

    /// The stream is over. `cut`: within an event. Some servers send no end
    /// marker.
    pub(super) fn end_stream(&mut self, cut: bool) {
        let cut = self.cut || cut;
        let all_finished = self.choices_seen != 0
            && self.choices_seen == self.choices_finished
            && !self.choices_beyond;
        // Without choices, the one answer has ended where it said why.
        let finished =
            all_finished || (self.choices_seen == 0 && self.answer.finish_reason.is_some());
        let ends_unsaid = match self.rules.stream {
            StreamEnd::Done => all_finished,
            StreamEnd::Finished => finished,
            StreamEnd::Event(_) => false,
        };
        self.answer.complete |= ends_unsaid && !cut;
        self.answer.complete &= !self.answer.failed;
    }
}

/// The event within a payload of Bedrock's `invoke-with-response-stream`, which
/// wraps each in base64.
fn unwrapped(payload: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: Cow<'a, str>,
    }
    let chunk: Chunk<'_> = serde_json::from_slice(payload).ok()?;
    let engine = base64::engine::general_purpose::STANDARD;
    engine.decode(chunk.bytes.as_bytes()).ok()
}
