//! A YAML text as a tree in which every value knows its line and column.
//!
//! Scalars keep the text as written (`0123` stays `0123`, `1_000` stays
//! `1_000`), so that what a value means is decided by whoever reads the field.
//! Keys given twice are kept twice: the reader reports them.
//!
//! Always holds: depth, node count and alias expansion are bounded, so a
//! hostile file costs a bounded amount of time, stack and memory.

use super::problem::Place;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, Spanned};
use std::fmt;
use std::ops::Range;

/// The largest file that is read: a million tenants with a key each fit.
pub const FILE_BYTES_MAX: usize = 256 << 20;

/// The deepest nesting. The configuration itself needs 7.
pub const DEPTH_MAX: usize = 24;

/// The most values in a file: a million tenants with a key each need 16 M.
const NODES_MAX: usize = 24 << 20;

/// The most parser events that aliases may replay: enough to share a plan's
/// limits many times, far too few for a "billion laughs".
const ALIAS_EVENTS_MAX: usize = 100_000;

/// The most characters of the parser's own message that are shown.
const MESSAGE_CHARS_MAX: usize = 200;

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    pub place: Option<Place>,
    pub value: Value,
}

#[derive(Debug)]
pub enum Value {
    Null,
    Bool(bool),
    /// A number as it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub struct Entry {
    pub key: String,
    pub key_place: Option<Place>,
    pub node: Node,
}

impl Value {
    /// What it is, for "(got a list)".
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl Node {
    /// The same as JSON. A number that JSON would write otherwise stays a text,
    /// which is read as the same.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => {
                let number = serde_json::from_str::<serde_json::Number>(text).ok();
                let number = number.filter(|number| number.to_string() == *text);
                number.map_or_else(|| Json::String(text.clone()), Json::Number)
            }
            Value::Text(text) => Json::String(text.clone()),
            Value::List(nodes) => Json::Array(nodes.iter().map(Node::to_json).collect()),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect(),
        }
    }
}

/// Reads one YAML document.
///
/// # Errors
/// The place and a message, where the text is no YAML or passes a bound.
pub fn parse(text: &str) -> Result<Node, (Option<Place>, String)> {
    if text.len() > FILE_BYTES_MAX {
        return Err((None, format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root: Parsed = serde_saphyr::from_str_with_options(text, options(text))
        .map_err(|error| explain(&error))?;
    Ok(root.into_node(text))
}

fn options(text: &str) -> serde_saphyr::Options {
    serde_saphyr::options! {
        // Where nothing can be merged, no mapping's keys have to be remembered: with a
        // million tenants a tenth of the time.
        merge_keys: match text.contains("<<") {
            true => MergeKeyPolicy::Merge,
            false => MergeKeyPolicy::AsOrdinary,
        },
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_documents: 1,
            max_total_scalar_bytes: FILE_BYTES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIAS_EVENTS_MAX,
            max_replay_stack_depth: DEPTH_MAX,
        },
        // The reader reports them all, each with its place.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        emit_comments: false,
        // A snippet would repeat the file, secrets included.
        with_snippet: false,
    }
}

fn explain(error: &Error) -> (Option<Place>, String) {
    let error = error.without_snippet();
    if matches!(error, Error::UnsupportedTag { .. }) {
        let text = "has a tag of no meaning here; a text that begins with ! goes in quotes";
        return (error.location().and_then(place_of), text.to_owned());
    }
    let rendered = error.to_string();
    let message: String = rendered
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(MESSAGE_CHARS_MAX)
        .collect();
    let place = error.location().and_then(place_of);
    // The place stands in front already.
    let message = match place {
        Some(Place { line, column }) => message
            .replace(&format!(" at line {line}, column {column}"), "")
            .replace(&format!("line {line} column {column}: "), ""),
        None => message,
    };
    (
        place,
        format!("is not valid YAML: {}", without_quotes(&message)),
    )
}

/// Takes out what the parser quotes from the file: it may be a secret that was
/// meant as a text (`url: !pa55word`).
fn without_quotes(message: &str) -> String {
    message
        .split('`')
        .enumerate()
        .map(|(n, part)| if n % 2 == 0 { part } else { "(...)" })
        .collect()
}

fn place_of(location: Location) -> Option<Place> {
    let line = u32::try_from(location.line())
        .ok()
        .filter(|line| *line > 0)?;
    let column = u32::try_from(location.column()).ok()?;
    Some(Place { line, column })
}

/// A value as the parser gives it: a number has become binary, and only its
/// place in the text tells how it was written.
///
/// Of a size with [`Node`], so that lists of it become lists of nodes where they
/// are: a file of many tenants is not kept twice.
struct Parsed {
    place: Option<Place>,
    value: ParsedValue,
}

enum ParsedValue {
    Null,
    Bool(bool),
    Number(Box<ParsedNumber>),
    Text(String),
    List(Vec<Parsed>),
    Map(Vec<ParsedEntry>),
}

struct ParsedNumber {
    /// As the parser would print it.
    printed: String,
    /// Where it is written.
    bytes: Option<Range<usize>>,
}

struct ParsedEntry {
    key: Key,
    value: Parsed,
}

struct Key {
    text: String,
    place: Option<Place>,
}

impl Parsed {
    /// Recursion is bounded by [`DEPTH_MAX`].
    fn into_node(self, text: &str) -> Node {
        let value = match self.value {
            ParsedValue::Null => Value::Null,
            ParsedValue::Bool(value) => Value::Bool(value),
            ParsedValue::Number(number) => Value::Number(number.written(text)),
            ParsedValue::Text(value) => Value::Text(value),
            ParsedValue::List(items) => {
                Value::List(items.into_iter().map(|item| item.into_node(text)).collect())
            }
            ParsedValue::Map(entries) => {
                let entries = entries.into_iter();
                Value::Map(entries.map(|entry| entry.into_entry(text)).collect())
            }
        };
        Node {
            place: self.place,
            value,
        }
    }
}

impl ParsedEntry {
    fn into_entry(self, text: &str) -> Entry {
        Entry {
            key: self.key.text,
            key_place: self.key.place,
            node: self.value.into_node(text),
        }
    }
}

impl ParsedNumber {
    fn printed(number: impl fmt::Display) -> ParsedValue {
        ParsedValue::Number(Box::new(Self {
            printed: number.to_string(),
            bytes: None,
        }))
    }

    fn written(self, text: &str) -> String {
        let written = self.bytes.and_then(|bytes| text.get(bytes));
        written.map_or(self.printed, |written| written.trim().to_owned())
    }
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut spanned = Spanned::<ParsedValue>::deserialize(deserializer)?;
        if let ParsedValue::Number(number) = &mut spanned.value {
            let span = spanned.defined.span();
            let bytes = span.byte_offset().zip(span.byte_len());
            number.bytes = bytes.and_then(|(from, len)| {
                let from = usize::try_from(from).ok()?;
                Some(from..from.checked_add(usize::try_from(len).ok()?)?)
            });
        }
        Ok(Self {
            place: place_of(spanned.referenced),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self {
            place: place_of(spanned.referenced),
            text: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for ParsedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Takes whatever stands in the file.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = ParsedValue;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<ParsedValue, E> {
        Ok(ParsedValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<ParsedValue, E> {
        Ok(ParsedValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ParsedValue, E> {
        Ok(ParsedNumber::printed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ParsedValue, E> {
        Ok(ParsedNumber::printed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ParsedValue, E> {
        Ok(ParsedNumber::printed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<ParsedValue, E> {
        Ok(ParsedValue::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<ParsedValue, E> {
        Ok(ParsedValue::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ParsedValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(ParsedValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParsedValue, A::Error> {
        // Most have one entry, as a tenant that has a plan.
        let mut entries = Vec::with_capacity(1);
        while let Some((key, value)) = map.next_entry()? {
            entries.push(ParsedEntry { key, value });
        }
        Ok(ParsedValue::Map(entries))
    }
}

#[cfg(test)]
mod tests;
