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
    /// OpenRouter's.
    ServerToolUse,
    /// Perplexity's.
    NumSearchQueries,
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
            UsageMember::NumSearchQueries => Figure::Searches,
            UsageMember::PromptTokensDetails => {
                map.next_value_seed(Details {
                    report: &mut report,
                    audio: Figure::PromptAudio,
                    image: Figure::PromptImage,
                })?;
                continue;
            }
            UsageMember::CompletionTokensDetails => {
                map.next_value_seed(Details {
                    report: &mut report,
                    audio: Figure::CompletionAudio,
                    image: Figure::CompletionImage,
                })?;
                continue;
            }
            UsageMember::ServerToolUse => {
                map.next_value_seed(ServerTools(&mut report))?;
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
struct Details<'r> {
    report: &'r mut Report,
    audio: Figure,
    image: Figure,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum DetailsMember {
    CachedTokens,
    CacheWriteTokens,
    ReasoningTokens,
    AudioTokens,
    ImageTokens,
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
                DetailsMember::AudioTokens => self.audio,
                DetailsMember::ImageTokens => self.image,
                DetailsMember::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            self.report.say(figure, map.next_value::<Number>()?.0);
        }
        Ok(())
    }

    pass_over!((); nulls bools numbers strings arrays);
}

/// What the provider's own tools did.
struct ServerTools<'r>(&'r mut Report);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum ServerToolsMember {
    WebSearchRequests,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for ServerTools<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ServerTools<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counts of tools")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key()? {
            match member {
                ServerToolsMember::WebSearchRequests => {
                    let count = map.next_value::<Number>()?.0;
                    self.0.say(Figure::Searches, count);
                }
                ServerToolsMember::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
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
