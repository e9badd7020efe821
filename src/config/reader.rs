//! Reads fields out of the tree and reports everything that doesn't fit.
//!
//! A reading that fails has reported why and gives `None`; whoever called goes
//! on with the next field, so that all problems come at once. Each field is
//! reported at most once: `None` of a required field says nothing more.

mod fields;

pub use fields::Fields;

use super::name::name_fault;
use super::problem::{At, Findings, Path, nearest, shown, shown_bare};
use super::quantity::{self, AsDollars, AsPerMille, AsSize, AsSpan, QuantityError};
use super::secret::Secret;
use super::yaml::{Entry, Node, Value};
use crate::units::Millis;
use hashbrown::hash_table::{self as table, HashTable};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The most entries that are compared with each other: more, up to a million tenants,
/// are hashed.
const SCANNED_MAX: usize = 16;

/// The longest address or file name.
const TEXT_BYTES_MAX: usize = 4096;

/// A value, and where it was written.
#[derive(Debug, Clone)]
pub struct Located<T> {
    pub value: T,
    pub at: At,
}

/// A node of the tree under its path.
#[derive(Clone)]
pub struct Item<'a> {
    node: &'a Node,
    pub at: At,
    findings: &'a Findings,
}

impl<'a> Item<'a> {
    pub fn root(node: &'a Node, findings: &'a Findings) -> Self {
        let at = At {
            place: node.place,
            path: Path::default(),
        };
        Self { node, at, findings }
    }

    fn below(&self, node: &'a Node, path: Path) -> Self {
        Self {
            node,
            at: At {
                place: node.place,
                path,
            },
            findings: self.findings,
        }
    }

    fn located<T>(&self, value: T) -> Located<T> {
        Located {
            value,
            at: self.at.clone(),
        }
    }

    pub fn report<T>(&self, text: impl Into<String>) -> Option<T> {
        self.findings.problem(&self.at, text);
        None
    }

    pub fn to_json(&self) -> serde_json::Value {
        self.node.to_json()
    }

    fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// The mapping's entries by key; a key given twice is reported and counts
    /// as the first said.
    fn distinct_entries(&self) -> Option<Vec<&'a Entry>> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries,
            Value::Null => return Some(Vec::new()),
            other => return self.report(format!("must be a mapping (got {})", other.kind())),
        };
        if entries.len() <= SCANNED_MAX {
            return Some(self.distinct(entries, |entry, distinct| {
                let mut before = distinct.iter();
                before.find(|first| first.key == entry.key).copied()
            }));
        }
        let hasher = ahash::RandomState::new();
        let hash = |entry: &&Entry| hasher.hash_one(entry.key.as_str());
        let mut hashed: HashTable<&Entry> = HashTable::with_capacity(entries.len());
        Some(self.distinct(entries, |entry, _| {
            let same = |first: &&Entry| first.key == entry.key;
            match hashed.entry(hash(&entry), same, hash) {
                table::Entry::Occupied(first) => Some(*first.get()),
                table::Entry::Vacant(place) => {
                    place.insert(entry);
                    None
                }
            }
        }))
    }

    /// `first` finds an earlier entry of the same key.
    fn distinct(
        &self,
        entries: &'a [Entry],
        mut first: impl FnMut(&'a Entry, &[&'a Entry]) -> Option<&'a Entry>,
    ) -> Vec<&'a Entry> {
        let mut distinct: Vec<&Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            match first(entry, &distinct) {
                Some(first) => self.twice(entry, first),
                None => distinct.push(entry),
            }
        }
        distinct
    }

    fn twice(&self, entry: &Entry, first: &Entry) {
        let line = first.key_place.map_or(0, |place| place.line);
        let text = format!("is given twice (first in line {line})");
        self.findings.problem(&self.key_at(entry), text);
    }

    fn key_at(&self, entry: &Entry) -> At {
        self.named_at(entry, entry.key.as_str().into())
    }

    fn named_at(&self, entry: &Entry, name: Arc<str>) -> At {
        At {
            place: entry.key_place,
            path: self.at.path.key(name),
        }
    }

    /// The fields of a mapping; reports those that are not `known`.
    pub fn fields(&self, known: &'static [&'static str]) -> Option<Fields<'a>> {
        let (mut found, mut meant) = (Vec::new(), Vec::new());
        for entry in self.distinct_entries()? {
            match known.iter().find(|name| **name == entry.key) {
                Some(name) => {
                    found.push((*name, self.below(&entry.node, self.at.path.field(name))));
                }
                None => meant.extend(self.unknown_field(entry, known)),
            }
        }
        Some(Fields {
            at: self.at.clone(),
            found,
            meant,
            findings: self.findings,
        })
    }

    /// Gives the field that was meant, where one is near.
    fn unknown_field(&self, entry: &Entry, known: &'static [&'static str]) -> Option<&'static str> {
        let meant = if self.findings.is_full() {
            None
        } else {
            nearest(&entry.key, known.iter().copied())
        };
        let text = match meant {
            Some(name) => format!("unknown field; did you mean {name:?}?"),
            None if known.is_empty() => "unknown field; none is known here".to_owned(),
            None => format!("unknown field; known here: {}", known.join(", ")),
        };
        self.findings.problem(&self.key_at(entry), text);
        meant
    }

    /// The entries of a mapping whose names the operator chose.
    pub fn named(&self) -> Option<impl Iterator<Item = (Located<Arc<str>>, Item<'a>)> + use<'a>> {
        let entries = self.distinct_entries()?.into_iter();
        let whole = self.clone();
        // One at a time: a file may have a million tenants.
        Some(entries.filter_map(move |entry| {
            let value: Arc<str> = entry.key.as_str().into();
            let at = whole.named_at(entry, Arc::clone(&value));
            if let Some(fault) = name_fault(&entry.key) {
                whole.findings.problem(&at, format!("the name {fault}"));
                return None;
            }
            let item = whole.below(&entry.node, at.path.clone());
            Some((Located { value, at }, item))
        }))
    }

    pub fn list(&self) -> Option<Vec<Item<'a>>> {
        match &self.node.value {
            Value::List(nodes) => Some(
                nodes
                    .iter()
                    .enumerate()
                    .map(|(index, node)| self.below(node, self.at.path.index(index)))
                    .collect(),
            ),
            other => self.report(format!("must be a list (got {})", other.kind())),
        }
    }

    /// One item, or a list of them.
    pub fn one_or_list(&self) -> Option<Vec<Item<'a>>> {
        match &self.node.value {
            Value::List(_) => self.list(),
            _ => Some(vec![self.clone()]),
        }
    }

    fn scalar(&self, what: &str) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Bool(value) => self.report(format!("must be {what} (got {value})")),
            other => self.report(format!("must be {what} (got {})", other.kind())),
        }
    }

    fn written(&self, what: &str) -> Option<&'a str> {
        if let Value::Bool(value) = self.node.value {
            return self.report(format!(
                "must be {what}: put {value} in quotes if it is one"
            ));
        }
        self.scalar(what)
    }

    /// A text of any form: an address, a file name.
    pub fn text(&self) -> Option<Located<String>> {
        let text = self.written("a text")?;
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.contains(char::is_control) {
            return self.report(format!(
                "must have 1 to {TEXT_BYTES_MAX} bytes and no control characters"
            ));
        }
        Some(self.located(text.to_owned()))
    }

    /// A text that no problem may repeat.
    pub fn secret(&self) -> Option<Located<Secret>> {
        let text = self.written("a text")?;
        Some(self.located(Secret::new(text.to_owned())))
    }

    /// A name: of a tenant, a plan, a key and so on.
    pub fn name(&self) -> Option<Located<Arc<str>>> {
        let text = self.written("a name")?;
        match name_fault(text) {
            Some(fault) => self.report(fault),
            None => Some(self.located(Arc::from(text))),
        }
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.node.value, Value::Text(text) if text == word)
    }

    /// Whether it is a mapping with a field of this name.
    pub fn has(&self, name: &str) -> bool {
        matches!(&self.node.value, Value::Map(all) if all.iter().any(|entry| entry.key == name))
    }

    pub fn is_text(&self) -> bool {
        matches!(self.node.value, Value::Text(_))
    }

    pub fn is_true(&self) -> bool {
        matches!(self.node.value, Value::Bool(true))
    }

    /// Whether it is a number, written so.
    pub fn is_number(&self, digits: &str) -> bool {
        matches!(&self.node.value, Value::Number(text) if text == digits)
    }

    /// One of the given words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<Located<T>> {
        let list = || {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("one of {}", names.join(", "))
        };
        let text = self.scalar(&list())?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(self.located(*value));
        }
        let hint = nearest(text, words.iter().map(|(word, _)| *word))
            .map(|word| format!("; did you mean {word:?}?"))
            .unwrap_or_default();
        self.report(format!("must be {} (got {}){hint}", list(), shown(text)))
    }

    pub fn boolean(&self) -> Option<Located<bool>> {
        match &self.node.value {
            Value::Bool(value) => Some(self.located(*value)),
            Value::Text(text) | Value::Number(text) => {
                self.report(format!("must be true or false (got {})", shown(text)))
            }
            other => self.report(format!("must be true or false (got {})", other.kind())),
        }
    }

    /// A whole number such as `200k`, within the range.
    pub fn amount(&self, range: RangeInclusive<u64>) -> Option<Located<u64>> {
        const WHAT: &str = "a whole number such as 600, 200k or 5M";
        self.quantity(WHAT, quantity::amount, range, |n| n.to_string())
    }

    /// An amount of dollars such as `0.15`, in billionths of one, within the
    /// range.
    pub fn dollars(&self, range: RangeInclusive<u64>) -> Option<Located<u64>> {
        const WHAT: &str = "an amount of dollars such as 25 or 0.15";
        let print = |n| AsDollars(n).to_string();
        self.quantity(WHAT, quantity::dollars, range, print)
    }

    /// A share such as `1.15`, in thousandths, within the range.
    pub fn per_mille(&self, range: RangeInclusive<u64>) -> Option<Located<u64>> {
        const WHAT: &str = "a number such as 1 or 1.15, with three decimals at most";
        let print = |n| AsPerMille(n).to_string();
        self.quantity(WHAT, quantity::per_mille, range, print)
    }

    /// A number of bytes such as `10MiB`, within the range.
    pub fn size_bytes(&self, range: RangeInclusive<u64>) -> Option<Located<u64>> {
        const WHAT: &str = "a size such as 512KiB or 10MiB";
        self.quantity(WHAT, quantity::size_bytes, range, |n| AsSize(n).to_string())
    }

    /// A span of time such as `250ms`, within the range.
    pub fn span(&self, range: RangeInclusive<u64>) -> Option<Located<Millis>> {
        const WHAT: &str = "a span of time such as 250ms, 10s, 1m, 1h or 1d";
        let read = |text: &str| quantity::span(text).map(|span| span.0);
        let ms = self.quantity(WHAT, read, range, |n| AsSpan(Millis(n)).to_string())?;
        Some(self.located(Millis(ms.value)))
    }

    fn quantity(
        &self,
        what: &str,
        read: impl Fn(&str) -> Result<u64, QuantityError>,
        range: RangeInclusive<u64>,
        print: impl Fn(u64) -> String,
    ) -> Option<Located<u64>> {
        let text = self.scalar(what)?;
        let got = shown_bare(text);
        let (min, max) = (*range.start(), *range.end());
        let wrong = match read(text) {
            Ok(value) if range.contains(&value) => return Some(self.located(value)),
            Ok(value) if value > max => format!("must be at most {}", print(max)),
            Err(QuantityError::TooLarge) => format!("must be at most {}", print(max)),
            Ok(_) | Err(QuantityError::Negative) if min == 0 => "must not be negative".to_owned(),
            Ok(_) | Err(QuantityError::Negative) if min == 1 => "must be more than 0".to_owned(),
            Ok(_) | Err(QuantityError::Negative) => format!("must be at least {}", print(min)),
            Err(QuantityError::NoUnit) => {
                "needs its unit, as in 250ms, 10s, 1m, 1h or 1d".to_owned()
            }
            Err(QuantityError::Other) => format!("must be {what}"),
        };
        self.report(format!("{wrong} (got {got})"))
    }
}
