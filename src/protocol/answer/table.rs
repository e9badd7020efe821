//! Dialects as tables: which member of an answer means what.
//!
//! A table names the members of an object that matter, and what each is: a
//! [`Mark`], or an object with a table of its own. All else is skipped without
//! being built. An array means what each of its items means.

use super::heard::{Heard, Hearing, JsonReader};
use super::modality::{ByModality, Modalities};
use super::spoken::Spoken;
use super::usage::{Count, Figure, Report};
use super::value::{Flag, Number, Texts, Word, pass_over};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The members of an object that matter, by name.
pub type Table = &'static [(&'static str, Node)];

/// What a member is.
#[derive(Debug)]
pub enum Node {
    Is(Mark),
    Within(Table),
    /// Alternative answers, each with its index and reason to end.
    Choices(Table),
    /// What an answer consists of, each with its type and how far it is.
    Items(Table),
    /// Counts of tokens, each beside what they are of.
    ByModality(Modalities),
}

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// What the model said: a string, or parts that hold strings.
    Text,
    /// What it calls a tool with: JSON, or a string of it.
    Arguments,
    Model,
    /// The tier of service that it was served in.
    ServiceTier,
    /// Which of the choices this is.
    Index,
    /// Why the answer ended.
    Finish,
    FinishDetail,
    /// What this event is.
    Kind,
    /// Anything but null: the answer failed.
    Error,
    /// `true`: the answer ends here.
    Done,
    /// A figure of its usage.
    Count(Figure),
    /// A figure that is the sum of all that are found.
    Sum(Figure),
    /// A figure that counts where the others are silent.
    Beside(Figure),
    /// Whatever it holds, its presence says that this figure is 0.
    Zero(Figure),
    /// What was searched the web for: a list of texts.
    Queries,
    /// What an item is, what it did, and whether it is done.
    ItemType,
    ItemAction,
    ItemStatus,
}

/// A member of a table: `name` is `mark`.
pub const fn is(name: &'static str, mark: Mark) -> (&'static str, Node) {
    (name, Node::Is(mark))
}

/// A member of a table that has members of its own.
pub const fn within(name: &'static str, table: Table) -> (&'static str, Node) {
    (name, Node::Within(table))
}

/// Reads an object by its table.
pub fn read<'de>(
    table: Table,
    reader: &mut JsonReader<'de>,
    hearing: Hearing<'_, 'de>,
) -> Result<(), serde_json::Error> {
    reader.deserialize_map(Members {
        table,
        hearing,
        choice: None,
    })
}

/// What a choice, or an item, said of itself.
#[derive(Default)]
struct Choice<'de> {
    index: Count,
    finish: Option<Cow<'de, str>>,
    kind: Option<Cow<'de, str>>,
    action: Option<Cow<'de, str>>,
    status: Option<Cow<'de, str>>,
}

impl<'de> Choice<'de> {
    fn take(self, heard: &mut Heard<'de>) {
        heard.choice(self.index, self.finish);
    }

    /// A search that is done. Pages that it opened and looked through are not
    /// billed: <https://platform.openai.com/docs/guides/tools-web-search>.
    fn take_item(self, heard: &mut Heard<'de>) {
        let is = |said: &Option<Cow<'_, str>>, word: &str| said.as_deref() == Some(word);
        let searched = self.action.is_none() || is(&self.action, "search");
        if is(&self.kind, "web_search_call") && is(&self.status, "completed") && searched {
            heard.searches = heard.searches.saturating_add(1);
        }
    }
}

struct Members<'h, 'c, 'de> {
    table: Table,
    hearing: Hearing<'h, 'de>,
    /// Of which choice, if of one.
    choice: Option<&'c mut Choice<'de>>,
}

impl<'de> DeserializeSeed<'de> for Members<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Members<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(node) = map.next_key_seed(Key(self.table))? {
            let Some(node) = node else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let hearing = self.hearing.again();
            match node {
                Node::Is(mark) => self.mark(*mark, &mut map)?,
                Node::Within(table) => map.next_value_seed(Members {
                    table,
                    hearing,
                    choice: self.choice.as_deref_mut(),
                })?,
                Node::Choices(table) => map.next_value_seed(Choices {
                    table,
                    hearing,
                    take: Choice::take,
                })?,
                Node::Items(table) => map.next_value_seed(Choices {
                    table,
                    hearing,
                    take: Choice::take_item,
                })?,
                Node::ByModality(modalities) => {
                    let report = of(&mut hearing.heard.usage);
                    map.next_value_seed(ByModality {
                        modalities: *modalities,
                        report,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let item = Members {
                table: self.table,
                hearing: self.hearing.again(),
                choice: self.choice.as_deref_mut(),
            };
            if seq.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    pass_over!((); nulls bools numbers strings);
}

impl<'de> Members<'_, '_, 'de> {
    fn mark<A: MapAccess<'de>>(&mut self, mark: Mark, map: &mut A) -> Result<(), A::Error> {
        let Hearing {
            heard,
            text,
            strings,
        } = self.hearing.again();
        match mark {
            Mark::Text => map.next_value_seed(Spoken::text(text, strings))?,
            Mark::Arguments => map.next_value_seed(Spoken::arguments(text, strings))?,
            Mark::Model => heard.model = map.next_value::<Word<'de>>()?.0,
            Mark::ServiceTier => heard.service_tier = map.next_value::<Word<'de>>()?.0,
            Mark::Index => {
                let index = map.next_value::<Number>()?.0;
                if let Some(choice) = &mut self.choice {
                    choice.index = index;
                }
            }
            Mark::Finish => {
                let reason = map.next_value::<Word<'de>>()?.0;
                match &mut self.choice {
                    Some(choice) => choice.finish = reason,
                    None if reason.is_some() => heard.first_finish_reason = reason,
                    None => {}
                }
            }
            Mark::FinishDetail => heard.finish_detail = map.next_value::<Word<'de>>()?.0,
            Mark::Kind => heard.kind = map.next_value::<Word<'de>>()?.0,
            Mark::Error => heard.error |= map.next_value::<Option<IgnoredAny>>()?.is_some(),
            Mark::Done => heard.done |= map.next_value::<Flag>()?.0,
            Mark::Count(figure) => {
                let count = map.next_value::<Number>()?.0;
                of(&mut heard.usage).say(figure, count);
            }
            Mark::Sum(figure) => {
                let count = map.next_value::<Number>()?.0;
                of(&mut heard.usage).add(figure, count);
            }
            Mark::Beside(figure) => {
                let count = map.next_value::<Number>()?.0;
                of(&mut heard.usage_beside).say(figure, count);
            }
            Mark::Zero(figure) => {
                map.next_value::<IgnoredAny>()?;
                of(&mut heard.usage).say(figure, Count::Said(0));
            }
            Mark::Queries => {
                let queries = map.next_value::<Texts>()?.0;
                heard.searches = heard.searches.saturating_add(queries);
            }
            Mark::ItemType | Mark::ItemAction | Mark::ItemStatus => {
                let word = map.next_value::<Word<'de>>()?.0;
                self.item(mark, word);
            }
        }
        Ok(())
    }

    fn item(&mut self, mark: Mark, word: Option<Cow<'de, str>>) {
        if let Some(item) = &mut self.choice {
            match mark {
                Mark::ItemType => item.kind = word,
                Mark::ItemAction => item.action = word,
                _ => item.status = word,
            }
        }
    }
}

fn of(report: &mut Option<Report>) -> &mut Report {
    report.get_or_insert_default()
}

/// An array of choices or items, or one of them.
struct Choices<'h, 'de> {
    table: Table,
    hearing: Hearing<'h, 'de>,
    /// What becomes of one.
    take: fn(Choice<'de>, &mut Heard<'de>),
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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let choices = Choices {
                table: self.table,
                hearing: self.hearing.again(),
                take: self.take,
            };
            if seq.next_element_seed(choices)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let mut choice = Choice::default();
        let members = Members {
            table: self.table,
            hearing: self.hearing.again(),
            choice: Some(&mut choice),
        };
        members.visit_map(map)?;
        (self.take)(choice, self.hearing.heard);
        Ok(())
    }

    pass_over!((); nulls bools numbers strings);
}

/// The table's node for a name.
struct Key(Table);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static Node>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let mut members = self.0.iter();
        let member = members.find(|(known, _)| *known == name);
        Ok(member.map(|(_, node)| node))
    }
}
