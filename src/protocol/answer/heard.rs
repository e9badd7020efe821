//! What one JSON object of an answer said: a whole body, or one event.

use super::spoken::Strings;
use super::text::Text;
use super::usage::{Count, Report};
use super::value::Word;
use serde::Deserialize;
use std::borrow::Cow;

/// What one object said.
#[derive(Debug, Default)]
pub struct Heard<'a> {
    pub model: Option<Cow<'a, str>>,
    pub service_tier: Option<Cow<'a, str>>,
    /// `choices` was there, an array, and empty.
    pub no_choices: bool,
    pub choices_seen: u128,
    pub choices_finished: u128,
    pub choices_beyond: bool,
    /// Of the choice with index 0.
    pub first_finish_reason: Option<Cow<'a, str>>,
    /// What the dialect says beside the reason, as in `max_output_tokens`.
    pub finish_detail: Option<Cow<'a, str>>,
    pub usage: Option<Report>,
    /// Figures that count only where `usage` says nothing: those of Groq's
    /// `x_groq`, of Cohere's `billed_units`, of Bedrock's own metrics.
    pub usage_beside: Option<Report>,
    /// `usage` was neither an object nor null.
    pub usage_odd: bool,
    /// Searches of the web that it shows.
    pub searches: u64,
    pub error: bool,
    /// The event's own word for what it is.
    pub kind: Option<Cow<'a, str>>,
    /// The object says that it is the answer's last one.
    pub done: bool,
}

impl<'a> Heard<'a> {
    pub fn choice(&mut self, index: Count, finish_reason: Option<Cow<'a, str>>) {
        let bit = match index {
            Count::Absent => Some(1),
            Count::Said(index) => u32::try_from(index)
                .ok()
                .and_then(|index| 1u128.checked_shl(index)),
            Count::Odd => None,
        };
        let Some(bit) = bit else {
            self.choices_beyond = true;
            return;
        };
        self.choices_seen |= bit;
        if let Some(reason) = finish_reason {
            self.choices_finished |= bit;
            if bit == 1 {
                self.first_finish_reason = Some(reason);
            }
        }
    }
}

/// A reader of one JSON text.
pub type JsonReader<'de> = serde_json::Deserializer<serde_json::de::SliceRead<'de>>;

/// Where what an object says goes.
pub struct Hearing<'h, 'de> {
    pub heard: &'h mut Heard<'de>,
    pub text: &'h mut Text,
    pub strings: Strings,
}

impl<'de> Hearing<'_, 'de> {
    pub fn again(&mut self) -> Hearing<'_, 'de> {
        Hearing {
            heard: self.heard,
            text: self.text,
            strings: self.strings,
        }
    }
}

/// How much of the bytes is the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    All,
    /// It stands at the front; whatever follows it.
    Front,
}

/// Reads an object; its output text goes to `text`. On an error nothing was
/// taken in.
pub fn read<'a>(
    bytes: &'a [u8],
    extent: Extent,
    text: &mut Text,
    read: impl Fn(&mut JsonReader<'a>, Hearing<'_, 'a>) -> Result<(), serde_json::Error>,
) -> Result<Heard<'a>, serde_json::Error> {
    let mark = text.mark();
    let read_as = |strings, text: &mut Text| {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let mut heard = Heard::default();
        let hearing = Hearing {
            heard: &mut heard,
            text,
            strings,
        };
        read(&mut reader, hearing)?;
        if extent == Extent::All {
            reader.end()?;
        }
        Ok(heard)
    };
    read_as(Strings::Raw, text)
        .or_else(|_: serde_json::Error| {
            text.rewind(&mark);
            read_as(Strings::OfAnyType, text)
        })
        .inspect_err(|_| text.rewind(&mark))
}

/// Reads the string at the front of `bytes`, whatever follows it.
pub fn read_word(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Word::deserialize(&mut reader).ok()?.0
}
