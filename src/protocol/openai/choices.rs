//! Answers with `choices`: chat, completions, and, as they have neither text nor
//! choices, embeddings; a whole body or one event's data.
//!
//! Read by hand and not by a table, as most of all traffic is of this form.
//! What is not needed is skipped without being built; output text goes from
//! the bytes straight into the text that waits to be counted. A usual delta
//! allocates nothing.
//!
//! Always holds: on an error nothing was taken in. A member of an unexpected
//! type is passed over, as are unknown ones. Nesting is bounded by the JSON
//! reader (128).

use super::usage_value::{GroqValue, UsageValue};
use crate::protocol::answer::heard::{Hearing, JsonReader};
use crate::protocol::answer::spoken::Spoken;
use crate::protocol::answer::usage::Count;
use crate::protocol::answer::value::{Number, Word, pass_over};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads a whole answer or an event of one.
pub(super) fn read<'de>(
    reader: &mut JsonReader<'de>,
    hearing: Hearing<'_, 'de>,
) -> Result<(), serde_json::Error> {
    reader.deserialize_map(Object(hearing))
}

/// Reads a usage object.
pub(super) fn read_usage<'de>(
    reader: &mut JsonReader<'de>,
    hearing: Hearing<'_, 'de>,
) -> Result<(), serde_json::Error> {
    UsageValue {
        report: &mut hearing.heard.usage,
        odd: &mut hearing.heard.usage_odd,
    }
    .deserialize(reader)
}

/// The whole object.
struct Object<'h, 'de>(Hearing<'h, 'de>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Model,
    ServiceTier,
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
        let Hearing {
            heard,
            text,
            strings,
        } = self.0;
        let mut usage_seen = false;
        while let Some(member) = map.next_key()? {
            match member {
                Member::Model => heard.model = map.next_value::<Word<'de>>()?.0,
                Member::ServiceTier => heard.service_tier = map.next_value::<Word<'de>>()?.0,
                Member::Choices => map.next_value_seed(Choices(Hearing {
                    heard,
                    text,
                    strings,
                }))?,
                Member::Usage => {
                    // Two readers could see two usages.
                    heard.usage_odd |= std::mem::replace(&mut usage_seen, true);
                    map.next_value_seed(UsageValue {
                        report: &mut heard.usage,
                        odd: &mut heard.usage_odd,
                    })?;
                }
                Member::XGroq => map.next_value_seed(GroqValue(&mut heard.usage_beside))?,
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
struct Choices<'h, 'de>(Hearing<'h, 'de>);

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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.0.heard.no_choices = true;
        while seq.next_element_seed(Choice(self.0.again()))?.is_some() {
            self.0.heard.no_choices = false;
        }
        Ok(())
    }

    pass_over!((); nulls bools numbers strings objects);
}

struct Choice<'h, 'de>(Hearing<'h, 'de>);

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
        let Hearing {
            heard,
            text,
            strings,
        } = self.0;
        let mark = text.mark();
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
        text.said_by(
            &mark,
            match index {
                Count::Absent => 0,
                Count::Said(index) => index,
                Count::Odd => u64::MAX,
            },
        );
        heard.choice(index, finish_reason);
        Ok(())
    }

    pass_over!((); nulls bools numbers strings arrays);
}
