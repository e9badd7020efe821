//! The values in an answer: words, counts and usage objects, each read from
//! whatever stands in its place.

use super::super::usage::{Count, Report};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The methods of a visitor for which values of other types say nothing.
macro_rules! pass_over {
    ($nothing:expr; $($kind:ident)*) => { $(pass_over!(@ $kind $nothing);)* };
    (@ bools $nothing:expr) => {
        fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> { Ok($nothing) }
    };
    (@ nulls $nothing:expr) => {
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> { Ok($nothing) }
    };
    (@ numbers $nothing:expr) => {
        fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> { Ok($nothing) }
        fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> { Ok($nothing) }
        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> { Ok($nothing) }
    };
    (@ strings $nothing:expr) => {
        fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> { Ok($nothing) }
    };
    (@ arrays $nothing:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($nothing)
        }
    };
    (@ objects $nothing:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($nothing)
        }
    };
}
pub(super) use pass_over;

/// A string, or nothing.
pub(super) struct Word<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Word<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct WordVisitor;
        impl<'de> Visitor<'de> for WordVisitor {
            type Value = Word<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, word: &'de str) -> Result<Word<'de>, E> {
                Ok(Word(Some(Cow::Borrowed(word))))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Word<'de>, E> {
                Ok(Word(Some(Cow::Owned(word.to_owned()))))
            }

            pass_over!(Word(None); nulls bools numbers arrays objects);
        }
        reader.deserialize_any(WordVisitor)
    }
}

/// A token count or an index.
pub(super) struct Number(pub(super) Count);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl<'de> Visitor<'de> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Count::of(number)))
            }

            /// Negative.
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Number, E> {
                Ok(Number(Count::Odd))
            }

            /// Fractional, or beyond 64 bits.
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Number, E> {
                Ok(Number(Count::Odd))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Number, E> {
                Ok(Number(Count::Absent))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Number, E> {
                Ok(Number(Count::Odd))
            }

            pass_over!(Number(Count::Odd); strings arrays objects);
        }
        reader.deserialize_any(NumberVisitor)
    }
}

/// The value of a `usage` member.
pub(super) enum UsageValue {
    Null,
    Report(Report),
    Odd,
}

impl<'de> Deserialize<'de> for UsageValue {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct UsageVisitor;
        impl<'de> Visitor<'de> for UsageVisitor {
            type Value = UsageValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a usage object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UsageValue, A::Error> {
                usage_members(map).map(UsageValue::Report)
            }

            fn visit_unit<E: de::Error>(self) -> Result<UsageValue, E> {
                Ok(UsageValue::Null)
            }

            pass_over!(UsageValue::Odd; bools numbers strings arrays);
        }
        reader.deserialize_any(UsageVisitor)
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
    PromptCacheHitTokens,
    ReasoningTokens,
    #[serde(other)]
    Other,
}

fn usage_members<'de, A: MapAccess<'de>>(mut map: A) -> Result<Report, A::Error> {
    let mut report = Report::default();
    while let Some(member) = map.next_key()? {
        let count = match member {
            UsageMember::PromptTokens => &mut report.prompt,
            UsageMember::CompletionTokens => &mut report.completion,
            UsageMember::TotalTokens => &mut report.total,
            UsageMember::PromptCacheHitTokens => &mut report.cache_hit,
            UsageMember::ReasoningTokens => &mut report.reasoning_top,
            UsageMember::PromptTokensDetails => {
                let details = map.next_value::<Details>()?;
                report.cached = details.cached;
                report.cache_write = details.cache_write;
                continue;
            }
            UsageMember::CompletionTokensDetails => {
                report.reasoning = map.next_value::<Details>()?.reasoning;
                continue;
            }
            UsageMember::Other => {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
        };
        said_once(count, map.next_value::<Number>()?);
    }
    Ok(report)
}

/// A member that is there twice could be read in two ways.
fn said_once(count: &mut Count, number: Number) {
    *count = match *count {
        Count::Absent => number.0,
        Count::Said(_) | Count::Odd => Count::Odd,
    };
}

/// The details of prompt or completion tokens.
#[derive(Default)]
struct Details {
    cached: Count,
    cache_write: Count,
    reasoning: Count,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum DetailsMember {
    CachedTokens,
    CacheWriteTokens,
    ReasoningTokens,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct DetailsVisitor;
        impl<'de> Visitor<'de> for DetailsVisitor {
            type Value = Details;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("details of tokens")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Details, A::Error> {
                let mut details = Details::default();
                while let Some(member) = map.next_key()? {
                    let count = match member {
                        DetailsMember::CachedTokens => &mut details.cached,
                        DetailsMember::CacheWriteTokens => &mut details.cache_write,
                        DetailsMember::ReasoningTokens => &mut details.reasoning,
                        DetailsMember::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    said_once(count, map.next_value::<Number>()?);
                }
                Ok(details)
            }

            pass_over!(Details::default(); nulls bools numbers strings arrays);
        }
        reader.deserialize_any(DetailsVisitor)
    }
}

/// Groq's `x_groq`: its `usage`, where it has one.
pub(super) struct GroqValue(pub(super) Option<Report>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum GroqMember {
    Usage,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for GroqValue {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct GroqVisitor;
        impl<'de> Visitor<'de> for GroqVisitor {
            type Value = GroqValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GroqValue, A::Error> {
                let mut usage = None;
                while let Some(member) = map.next_key()? {
                    match member {
                        GroqMember::Usage => {
                            if let UsageValue::Report(report) = map.next_value()? {
                                usage = Some(report);
                            }
                        }
                        GroqMember::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(GroqValue(usage))
            }

            pass_over!(GroqValue(None); nulls bools numbers strings arrays);
        }
        reader.deserialize_any(GroqVisitor)
    }
}
