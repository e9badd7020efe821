//! Tokens by what they are of: an array of objects, each with a modality and a
//! count.

use super::usage::{Count, Figure, Report};
use super::value::{Number, Word, pass_over};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The figures of the modalities that have a price of their own.
#[derive(Debug, Clone, Copy)]
pub struct Modalities {
    pub audio: Figure,
    pub image: Figure,
}

/// The array, or one of its objects.
pub(super) struct ByModality<'r> {
    pub modalities: Modalities,
    pub report: &'r mut Report,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Member {
    Modality,
    TokenCount,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for ByModality<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ByModality<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tokens by modality")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let item = ByModality {
                modalities: self.modalities,
                report: self.report,
            };
            if seq.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut figure, mut count) = (None, Count::Absent);
        while let Some(member) = map.next_key()? {
            match member {
                Member::Modality => {
                    let word = map.next_value::<Word<'de>>()?.0;
                    figure = match word.as_deref() {
                        Some("AUDIO") => Some(self.modalities.audio),
                        Some("IMAGE") => Some(self.modalities.image),
                        _ => None,
                    };
                }
                Member::TokenCount => count = map.next_value::<Number>()?.0,
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let Some(figure) = figure {
            self.report.add(figure, count);
        }
        Ok(())
    }

    pass_over!((); nulls bools numbers strings);
}
