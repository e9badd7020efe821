//! Reads one JSON object of an answer: a whole body or one event's data.
//!
//! What is not needed is skipped without being built; output text goes from
//! the bytes straight into the text that waits to be counted. A usual delta
//! allocates nothing.
//!
//! Always holds: on an error nothing was taken in. A member of an unexpected
//! type is passed over, as are unknown ones. Nesting is bounded by the JSON
//! reader (128).

mod spoken;
mod value;

use super::text::Text;
use super::usage::{Count, Report};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use spoken::{Spoken, Strings};
use std::borrow::Cow;
use std::fmt;
use value::{GroqValue, Number, UsageValue, Word, pass_over};

/// What one object said.
#[derive(Debug, Default)]
pub(super) struct Heard<'a> {
    pub(super) model: Option<Cow<'a, str>>,
    /// `choices` was there, an array, and empty.
    pub(super) no_choices: bool,
    pub(super) choices_seen: u128,
    pub(super) choices_finished: u128,
    pub(super) choices_beyond: bool,
    /// Of the choice with index 0.
    pub(super) first_finish_reason: Option<Cow<'a, str>>,
    pub(super) usage: Option<Report>,
    /// Groq's `x_groq.usage`, where older versions report alone.
    pub(super) usage_groq: Option<Report>,
    /// `usage` was neither an object nor null.
    pub(super) usage_odd: bool,
    pub(super) error: bool,
}

/// Reads a whole object; its output text goes to `text`.
pub(super) fn read<'a>(bytes: &'a [u8], text: &mut Text) -> Result<Heard<'a>, serde_json::Error> {
    let mark = text.mark();
    let first = read_as(bytes, text, Strings::Raw);
    if first.is_ok() {
        return first;
    }
    text.rewind(&mark);
    let second = read_as(bytes, text, Strings::OfAnyType);
    if second.is_err() {
        text.rewind(&mark);
    }
    second
}

fn read_as<'a>(
    bytes: &'a [u8],
    text: &mut Text,
    strings: Strings,
) -> Result<Heard<'a>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut heard = Heard::default();
    reader.deserialize_map(Object {
        heard: &mut heard,
        text,
        strings,
    })?;
    reader.end()?;
    Ok(heard)
}

/// Reads the usage object at the front of `bytes`, whatever follows it.
pub(super) fn read_usage(bytes: &[u8]) -> Option<Report> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    match UsageValue::deserialize(&mut reader) {
        Ok(UsageValue::Report(report)) => Some(report),
        _ => None,
    }
}

/// Reads the string at the front of `bytes`, whatever follows it.
pub(super) fn read_word(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Word::deserialize(&mut reader).ok()?.0
}

/// The whole object.
struct Object<'h, 'de> {
    heard: &'h mut Heard<'de>,
    text: &'h mut Text,
    strings: Strings,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Model,
    Choices,
    Usage,
    XGroq,
    Error,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let heard = self.heard;
        let mut usage_seen = false;
        while let Some(member) = map.next_key()? {
            match member {
                Member::Model => heard.model = map.next_value::<Word<'de>>()?.0,
                Member::Choices => map.next_value_seed(Choices {
                    heard,
                    text: self.text,
                    strings: self.strings,
                })?,
                Member::Usage => {
                    // Two readers could see two usages.
                    heard.usage_odd |= std::mem::replace(&mut usage_seen, true);
                    match map.next_value()? {
                        UsageValue::Null => {}
                        UsageValue::Report(report) => heard.usage = Some(report),
                        UsageValue::Odd => heard.usage_odd = true,
                    }
                }
                Member::XGroq => heard.usage_groq = map.next_value::<GroqValue>()?.0,
                Member::Error => heard.error |= map.next_value::<Option<IgnoredAny>>()?.is_some(),
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The array of choices, and each of them.
struct Choices<'h, 'de> {
    heard: &'h mut Heard<'de>,
    text: &'h mut Text,
    strings: Strings,
}

impl<'de> DeserializeSeed<'de> for Choices<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Choices<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("choices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.heard.no_choices = true;
        loop {
            let choice = Choice(Choices {
                heard: self.heard,
                text: self.text,
                strings: self.strings,
            });
            if seq.next_element_seed(choice)?.is_none() {
                return Ok(());
            }
            self.heard.no_choices = false;
        }
    }

    pass_over!((); nulls bools numbers strings objects);
}

struct Choice<'h, 'de>(Choices<'h, 'de>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum ChoiceMember {
    Index,
    FinishReason,
    /// Of a stream, of a whole answer, of the older completions.
    Delta,
    Message,
    Text,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for Choice<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Choice<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a choice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Choices {
            heard,
            text,
            strings,
        } = self.0;
        let mut index = Count::Absent;
        let mut finish_reason = None;
        while let Some(member) = map.next_key()? {
            match member {
                ChoiceMember::Index => index = map.next_value::<Number>()?.0,
                ChoiceMember::FinishReason => finish_reason = map.next_value::<Word<'de>>()?.0,
                ChoiceMember::Delta | ChoiceMember::Message => {
                    map.next_value_seed(Spoken::message(text, strings))?;
                }
                ChoiceMember::Text => map.next_value_seed(Spoken::text(text, strings))?,
                ChoiceMember::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        heard.choice(index, finish_reason);
        Ok(())
    }

    pass_over!((); nulls bools numbers strings arrays);
}

impl<'a> Heard<'a> {
    fn choice(&mut self, index: Count, finish_reason: Option<Cow<'a, str>>) {
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
