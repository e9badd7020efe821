//! Gathers what a model said, from a message or a delta: content, refusals,
//! reasoning and the arguments of calls, in whatever shape they come.
//!
//! Reasoning that comes under two names with the same words (some servers do,
//! for older clients) counts once.

use super::text::Text;
use super::value::pass_over;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// How strings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strings {
    /// As bytes: half a surrogate pair, which JSON can spell but UTF-8 can't,
    /// is no error. Text must then be a string, an array or null.
    Raw,
    /// As what they are: text may be of any type, its strings must be valid.
    OfAnyType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// An object with members that may hold text.
    Message,
    /// Text itself, or parts with text in them.
    Text,
    /// The arguments of a call: a string of JSON, from some servers JSON.
    Arguments,
}

pub struct Spoken<'t> {
    text: &'t mut Text,
    strings: Strings,
    place: Place,
}

impl<'t> Spoken<'t> {
    pub fn message(text: &'t mut Text, strings: Strings) -> Self {
        Self {
            text,
            strings,
            place: Place::Message,
        }
    }

    pub fn text(text: &'t mut Text, strings: Strings) -> Self {
        Self {
            text,
            strings,
            place: Place::Text,
        }
    }

    pub fn arguments(text: &'t mut Text, strings: Strings) -> Self {
        Self {
            text,
            strings,
            place: Place::Arguments,
        }
    }

    fn within(&mut self, place: Place) -> Spoken<'_> {
        Spoken {
            text: self.text,
            strings: self.strings,
            place,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Spoken<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        if self.place == Place::Message || self.strings == Strings::OfAnyType {
            reader.deserialize_any(self)
        } else {
            reader.deserialize_option(self)
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    #[serde(alias = "text", alias = "refusal", alias = "thinking", alias = "input")]
    Content,
    #[serde(alias = "reasoning_content")]
    Reasoning,
    Arguments,
    #[serde(alias = "function", alias = "function_call", alias = "custom")]
    ToolCalls,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for Spoken<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_bytes(self)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<(), E> {
        self.text.push_bytes(bytes);
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if self.place != Place::Message {
            self.text.push(text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        // Parts of a text are objects as often as strings.
        if self.place != Place::Message {
            self.strings = Strings::OfAnyType;
        }
        let place = self.place;
        while seq.next_element_seed(self.within(place))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        if self.place == Place::Arguments {
            while let Some(name) = map.next_key::<String>()? {
                self.text.push(&name);
                map.next_value_seed(self.within(Place::Arguments))?;
            }
            return Ok(());
        }
        let mut reasoning_heard = false;
        while let Some(member) = map.next_key()? {
            match member {
                Member::Content => map.next_value_seed(self.within(Place::Text))?,
                Member::Reasoning if !reasoning_heard => {
                    let mark = self.text.mark();
                    map.next_value_seed(self.within(Place::Text))?;
                    reasoning_heard = self.text.grew(&mark);
                }
                Member::Arguments => map.next_value_seed(self.within(Place::Arguments))?,
                Member::ToolCalls => map.next_value_seed(self.within(Place::Message))?,
                Member::Reasoning | Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    pass_over!((); nulls bools numbers);
}
