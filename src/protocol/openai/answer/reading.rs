//! What has been understood of an answer so far.
//!
//! Always holds: an event counts whole or not at all; strings that are kept
//! are short.

use super::chunk::{self, Heard};
use super::text::Text;
use super::usage::Report;
use crate::protocol::Answer;
use crate::protocol::sse::{Event, Piece};

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
    pub(super) fn new(text: Text) -> Self {
        Self {
            answer: Answer::default(),
            text,
            choices_seen: 0,
            choices_finished: 0,
            choices_beyond: false,
            cut: false,
        }
    }

    /// Reads a piece of an event stream, and says whether it is a usage event:
    /// one that exists only because usage was asked for.
    pub(super) fn piece(&mut self, piece: &Piece<'_>) -> bool {
        match piece {
            Piece::Event(event) => self.event(event),
            Piece::Overlong(_) => {
                self.answer.unreadable = true;
                self.cut = true;
                false
            }
            Piece::LineFeed(_) => false,
        }
    }

    fn event(&mut self, event: &Event<'_>) -> bool {
        let Some(data) = &event.data else {
            return false;
        };
        let data = data.trim_ascii();
        if data.is_empty() {
            return false;
        }
        self.cut = true;
        if data == b"[DONE]" {
            self.answer.complete = true;
            return false;
        }
        self.answer.failed |= event.name == b"error";
        if !data.starts_with(b"{") {
            // Not a chunk of an answer: some servers ping with a bare word.
            return false;
        }
        match chunk::read(data, &mut self.text) {
            Ok(heard) => {
                self.cut = false;
                let is_usage_event = heard.no_choices && heard.usage.is_some() && !heard.error;
                self.heard(heard);
                is_usage_event
            }
            Err(_) => {
                self.answer.unreadable = true;
                false
            }
        }
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
        if let Some(reason) = heard.first_finish_reason {
            let fits = (1..=FINISH_REASON_BYTES_MAX).contains(&reason.len());
            answer.finish_reason = fits.then(|| reason.into());
        }
        self.choices_seen |= heard.choices_seen;
        self.choices_finished |= heard.choices_finished;
        self.choices_beyond |= heard.choices_beyond;
        self.answer.unreadable |= heard.usage_odd;
        if let Some(report) = heard.usage.or(heard.usage_groq) {
            self.usage(report);
        }
    }

    fn usage(&mut self, report: Report) {
        let judged = report.judge();
        self.answer.unreadable |= judged.odd;
        // A report without a single figure is no report.
        if !judged.is_empty() {
            let known = judged.after(self.answer.usage);
            self.answer.unreadable |= known.odd;
            self.answer.usage = Some(known.usage);
        }
    }

    /// The event stream is over. Some servers send no end marker.
    pub(super) fn end_stream(&mut self) {
        let all_finished = self.choices_seen != 0
            && self.choices_seen == self.choices_finished
            && !self.choices_beyond
            && !self.cut
            && !self.answer.failed;
        self.answer.complete |= all_finished;
    }
}
