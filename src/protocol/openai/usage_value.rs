//! A usage object in the form of OpenAI and its kin, read from whatever stands
//! in its place.

use crate::protocol::answer::usage::{Figure, Report};
use crate::protocol::answer::value::{Number, pass_over};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The value of a `usage` member, and where it goes.
pub(super) struct UsageValue<'h> {
    pub(super) report: &'h mut Option<Report>,
    /// It was neither an object nor null.
    pub(super) odd: &'h mut bool,
}

impl<'de> DeserializeSeed<'de> for UsageValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UsageValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a usage object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        *self.report = Some(usage_members(map)?);
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        *self.odd = true;
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.visit_bool(true)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.visit_bool(true)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.visit_bool(true)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.visit_bool(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.visit_bool(true)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum UsageMember {
    PromptTokens,
    CompletionTokens,
    TotalTokens,
    PromptTokensDetails,
    CompletionTokensDetails,
    /// DeepSeek's; it is among the details too.
    PromptCacheHitTokens,
    /// At the top for models of others on Azure.
    ReasoningTokens,
    #[serde(other)]
    Other,
}

fn usage_members<'de, A: MapAccess<'de>>(mut map: A) -> Result<Report, A::Error> {
    let mut report = Report::default();
    while let Some(member) = map.next_key()? {
        let figure = match member {
            UsageMember::PromptTokens => Figure::Prompt,
            UsageMember::CompletionTokens => Figure::Completion,
            UsageMember::TotalTokens => Figure::Total,
            UsageMember::PromptCacheHitTokens => Figure::CachedAgain,
            UsageMember::ReasoningTokens => Figure::ReasoningAgain,
            UsageMember::PromptTokensDetails | UsageMember::CompletionTokensDetails => {
                map.next_value_seed(Details(&mut report))?;
                continue;
            }
            UsageMember::Other => {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
        };
        report.say(figure, map.next_value::<Number>()?.0);
    }
    Ok(report)
}

/// The details of prompt or completion tokens.
struct Details<'r>(&'r mut Report);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum DetailsMember {
    CachedTokens,
    CacheWriteTokens,
    ReasoningTokens,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for Details<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Details<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("details of tokens")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key()? {
            let figure = match member {
                DetailsMember::CachedTokens => Figure::Cached,
                DetailsMember::CacheWriteTokens => Figure::CacheWrite,
                DetailsMember::ReasoningTokens => Figure::Reasoning,
                DetailsMember::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            self.0.say(figure, map.next_value::<Number>()?.0);
        }
        Ok(())
    }

    pass_over!((); nulls bools numbers strings arrays);
}

/// Groq's `x_groq`: its `usage`, where it has one.
pub(super) struct GroqValue<'h>(pub(super) &'h mut Option<Report>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum GroqMember {
    Usage,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for GroqValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for GroqValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key()? {
            match member {
                GroqMember::Usage => map.next_value_seed(UsageValue {
                    report: self.0,
                    odd: &mut false,
                })?,
                GroqMember::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    pass_over!((); nulls bools numbers strings arrays);
}
