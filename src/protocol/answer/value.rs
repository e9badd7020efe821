//! The values in an answer: words, counts and flags, each read from whatever
//! stands in its place.

use super::usage::{Count, TOKENS_MAX};
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
pub(in crate::protocol) use pass_over;

/// A string, or nothing.
pub struct Word<'a>(pub Option<Cow<'a, str>>);

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

            /// An enum's number, where its words were not asked for.
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word<'de>, E> {
                Ok(Word(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Word<'de>, E> {
                Ok(Word(None))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Word<'de>, E> {
                Ok(Word(None))
            }

            pass_over!(Word(None); nulls bools arrays objects);
        }
        reader.deserialize_any(WordVisitor)
    }
}

/// A token count or an index.
pub struct Number(pub Count);

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

            /// Some write whole numbers as `28.0`.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number(whole(number)))
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

/// A float that is a whole number is that number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "exact: whole numbers up to 2^53"
)]
fn whole(number: f64) -> Count {
    let is_count = number >= 0.0 && number <= TOKENS_MAX as f64 && number.fract() == 0.0;
    if is_count {
        Count::Said(number as u64)
    } else {
        Count::Odd
    }
}

/// How many texts that say something an array holds.
pub struct Texts(pub u64);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
                let mut texts = 0;
                while let Some(Word(text)) = seq.next_element()? {
                    texts += u64::from(text.is_some_and(|text| !text.trim().is_empty()));
                }
                Ok(Texts(texts))
            }

            pass_over!(Texts(0); nulls bools numbers strings objects);
        }
        reader.deserialize_any(TextsVisitor)
    }
}

/// `true`, or not.
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl<'de> Visitor<'de> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a flag")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }

            pass_over!(Flag(false); nulls numbers strings arrays objects);
        }
        reader.deserialize_any(FlagVisitor)
    }
}
