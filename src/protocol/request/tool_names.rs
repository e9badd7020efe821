//! Which tools a request defines, by name, for rules on who may use which.
//!
//! | a tool | goes by |
//! |---|---|
//! | a function (`function`, `custom`, `toolSpec`, `functionDeclarations`, a plain `name`) | its name |
//! | one of the provider's own, with a `type` | that without its date: `web_search` for `web_search_20250305` |
//! | one of Gemini's own | its member's name: `googleSearch`, however it is spelt |
//! | those of a namespace | each its own name |
//! | servers of tools, a search that is asked for by a field of its own | `mcp`, `connectors`, `web_search` |
//!
//! Always holds: where a tool could be read as one of several, each of them is
//! named; one that says a thing twice is refused. At most [`TOOL_NAMES_MAX`]
//! names are kept, of at most [`TOOL_NAME_BYTES_MAX`] bytes.
//!
//! Left to others: tools that only the provider knows (a stored prompt's, an
//! earlier answer's), which are [`CallFacts::unseen_input`].
//!
//! [`CallFacts::unseen_input`]: crate::protocol::CallFacts::unseen_input

use super::{Fault, Field, Fields, Member, Place, Reading, Want, member, spelt, take};
use crate::protocol::json::{Kind, Scanner};

/// The most tools of a body, where their names are read. OpenAI takes 128,
/// Gemini 512 functions.
pub const TOOL_NAMES_MAX: usize = 1_024;

/// The longest name of a tool. Providers take 64 or 128.
pub const TOOL_NAME_BYTES_MAX: usize = 256;

const TOOL: &[Member] = &[
    member("type", take::pass),
    member("name", take::pass),
    member("function", take::pass),
    member("custom", take::pass),
    member("toolSpec", take::pass),
    member("systemTool", take::pass),
    member("cachePoint", take::pass),
    member("tools", take::pass),
    spelt("functionDeclarations", "function_declarations", take::pass),
];

const NAMED: &[Member] = &[member("name", take::pass)];

impl<'a> Reading<'a> {
    /// Names the tools whose JSON was kept since there were `first` texts.
    pub(super) fn name_tools(&mut self, first: usize, place: &Place) -> Result<(), Fault> {
        if self.wants.tool_names == Want::Not {
            return Ok(());
        }
        let mut names = Names {
            names: std::mem::take(&mut self.tool_names),
            place,
        };
        let named = self
            .raw_values(first)
            .try_for_each(|tool| of_tool(&mut Scanner::new(tool)?, &mut names));
        self.tool_names = names.names;
        named.or_else(|fault| self.wants.tool_names.fault(fault))
    }

    /// What was kept as the JSON that it is since there were `first` texts.
    pub(super) fn raw_values(&self, first: usize) -> impl Iterator<Item = &'a [u8]> {
        let texts = self.texts.get(first..).unwrap_or_default();
        texts.iter().filter_map(|text| {
            // A string is kept without its quotes: that is no tool of the
            // provider's, whatever it says.
            let begin = text.span.start.saturating_sub(1);
            let quoted = self.json.bytes(&(begin..text.span.start)) == b"\"";
            (!quoted).then(|| self.json.bytes(&text.span))
        })
    }

    /// A tool that no definition names.
    pub(super) fn name_tool(&mut self, name: &str, place: &Place) -> Result<(), Fault> {
        if self.wants.tool_names == Want::Not {
            return Ok(());
        }
        let named = push(&mut self.tool_names, name.to_owned(), place);
        named.or_else(|fault| self.wants.tool_names.fault(fault))
    }

    /// As [`Self::unseen_unless_empty`], of what brings in tools that go by `name`.
    pub(in crate::protocol) fn unseen_tools(
        &mut self,
        name: &str,
        place: &Place,
    ) -> Result<(), Fault> {
        let before = std::mem::replace(&mut self.unseen_input, false);
        self.unseen_unless_empty(place)?;
        if self.unseen_input {
            self.name_tool(name, place)?;
        }
        self.unseen_input |= before;
        Ok(())
    }
}

struct Names<'p> {
    names: Vec<String>,
    /// Where the tools are.
    place: &'p Place<'p>,
}

impl Names<'_> {
    fn push(&mut self, name: String) -> Result<(), Fault> {
        push(&mut self.names, name, self.place)
    }
}

fn push(names: &mut Vec<String>, name: String, place: &Place) -> Result<(), Fault> {
    if name.len() > TOOL_NAME_BYTES_MAX {
        return Err(Fault::at(place, LONG_NAME));
    }
    if names.len() == TOOL_NAMES_MAX {
        return Err(Fault::at(place, "must hold at most 1024 tools"));
    }
    names.push(name);
    Ok(())
}

const LONG_NAME: &str = "must name each tool in at most 256 bytes";

/// One tool's definition. One that holds others is as deep as the scanner reads.
fn of_tool(json: &mut Scanner<'_>, names: &mut Names) -> Result<(), Fault> {
    if json.peek()? != Kind::Object {
        json.skip_value()?;
        return Ok(());
    }
    let first = names.names.len();
    let (mut kind, mut name) = (None, None);
    let mut own = Vec::new();
    let mut fields = Fields::open(TOOL, json, names.place)?;
    while let Some(field) = fields.next(json, names.place)? {
        match field {
            Field::Known(Member { name: "type", .. }) => kind = string(json, names.place)?,
            Field::Known(Member { name: "name", .. }) => name = string(json, names.place)?,
            Field::Known(Member {
                name: "cachePoint", ..
            }) => {
                json.skip_value()?;
            }
            Field::Known(Member { name: "tools", .. }) => each(json, names, of_tool)?,
            Field::Known(Member {
                name: "functionDeclarations",
                ..
            }) => each(json, names, of_function)?,
            Field::Known(_) => of_function(json, names)?,
            Field::Other(key) => {
                let holds = matches!(json.peek()?, Kind::Object | Kind::Array);
                json.skip_value()?;
                if holds && key.span.len() <= TOOL_NAME_BYTES_MAX {
                    push(&mut own, camel(json.key_text(&key)), names.place)?;
                }
            }
        }
    }
    let inner = names.names.len() > first;
    match (kind.as_deref(), name) {
        (None, None) => own.into_iter().try_for_each(|name| names.push(name)),
        (None | Some("function" | "custom"), Some(name)) => names.push(name),
        (Some("function" | "custom"), None) => Ok(()),
        (Some("namespace"), _) if inner => Ok(()),
        (Some(kind), _) => names.push(undated(kind).to_owned()),
    }
}

/// The items of an array, or one without its brackets, as protobuf's JSON may
/// have it.
fn each(
    json: &mut Scanner<'_>,
    names: &mut Names,
    read: fn(&mut Scanner<'_>, &mut Names) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if json.peek()? != Kind::Array {
        return read(json, names);
    }
    let mut open = json.open_array()?;
    while json.next_item(&mut open)? {
        read(json, names)?;
    }
    Ok(())
}

/// What describes a function: an object with a `name`.
fn of_function(json: &mut Scanner<'_>, names: &mut Names) -> Result<(), Fault> {
    if json.peek()? != Kind::Object {
        json.skip_value()?;
        return Ok(());
    }
    let mut fields = Fields::open(NAMED, json, names.place)?;
    while let Some(field) = fields.next(json, names.place)? {
        match field {
            Field::Known(_) => {
                if let Some(name) = string(json, names.place)? {
                    names.push(name)?;
                }
            }
            Field::Other(_) => {
                json.skip_value()?;
            }
        }
    }
    Ok(())
}

/// A short string; `None` for anything else.
fn string(json: &mut Scanner<'_>, place: &Place) -> Result<Option<String>, Fault> {
    if json.peek()? != Kind::String {
        json.skip_value()?;
        return Ok(None);
    }
    let text = json.string()?;
    // Each byte of a name takes at most six in the body.
    if text.span.len() > TOOL_NAME_BYTES_MAX * 6 {
        return Err(Fault::at(place, LONG_NAME));
    }
    Ok(Some(json.key_text(&text).to_owned()))
}

/// A type without its date: `_20250305`, `_2025_03_11`.
fn undated(kind: &str) -> &str {
    const DATE_DIGITS: usize = 8;
    let undated = kind.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    let date = kind.get(undated.len()..).unwrap_or_default();
    let digits = date.bytes().filter(u8::is_ascii_digit).count();
    match digits {
        DATE_DIGITS if !undated.is_empty() => undated,
        _ => kind,
    }
}

/// A name of protobuf's in the form that its JSON has.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        match character {
            '_' => raise = true,
            _ if std::mem::take(&mut raise) => camel.push(character.to_ascii_uppercase()),
            _ => camel.push(character),
        }
    }
    camel
}
