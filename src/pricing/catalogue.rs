//! Prices of many models, in a text of lines.
//!
//! ```text
//! weir prices 1
//! version 2026-11-26
//! source genai-prices 0.2.3 MIT
//!
//! openai/gpt-4o input=2.5 cached_input=1.25 output=10
//! openai/gpt-4o @2026-10-12 input=2 cached_input=1 output=8
//! openai/gpt-5-codex = openai/gpt-5
//! ```
//! The head says the format, the version of the prices and, a line each, where
//! they come from. Behind an empty line each line is a model of a provider with
//! its price, in the form of [`super::notation`], from a date on where `@` says
//! so; or its other name. Lines that begin with `#` say nothing.
//!
//! Lines are in order, so that a model is found by halving: nothing is parsed
//! until it is asked for, and the prices in the program cost nothing at start.

use super::notation::{self, NotationError};
use super::schedule::{Dated, Schedule, ScheduleError};
use super::{date, price::Price};
use crate::units::UnixMillis;
use std::borrow::Cow;
use std::fmt::Write;

/// The first line.
const FORMAT: &str = "weir prices 1";

/// The largest text of prices: all there are take under a MiB.
pub const CATALOGUE_BYTES_MAX: usize = 16 << 20;

/// The longest name of a provider and model together.
pub const KEY_BYTES_MAX: usize = 256;

/// The prices in the program.
static BUILT_IN: &str = include_str!("prices.txt");

/// Prices of models.
#[derive(Debug, Clone)]
pub struct Catalogue {
    version: String,
    sources: Vec<String>,
    /// Lines of models alone, in the order of their keys.
    body: Cow<'static, str>,
}

/// A model's prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `provider/model`, as the catalogue has it.
    pub key: String,
    pub schedule: Schedule,
}

/// What is wrong with a text of prices, and in which line, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct CatalogueError {
    pub line: usize,
    pub fault: LineFault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("must be {FORMAT:?}: this is no file of weir's prices")]
    Format,
    #[error("must be \"version\" and one word, as in \"version 2026-11-26\"")]
    Version,
    #[error("must begin with a provider, a slash and a model")]
    Key,
    #[error("must be a date as 2026-10-12 or 2026-10-12T08:00:00Z (got {0:?})")]
    Date(String),
    #[error("the price {0}")]
    Price(#[from] NotationError),
    #[error("{0}")]
    Schedule(#[from] ScheduleError),
    #[error("{0:?} is not a model of this file with a price of its own")]
    Target(String),
    #[error("a model has prices or another name, not both, and one other name only")]
    Mixed,
    #[error("is longer than {CATALOGUE_BYTES_MAX} bytes")]
    TooLong,
}

/// A line of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'a> {
    key: &'a str,
    says: Says<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says<'a> {
    SameAs(&'a str),
    Costs {
        from: Option<&'a str>,
        price: &'a str,
    },
}

impl Catalogue {
    /// The prices in the program.
    pub fn built_in() -> Self {
        let (head, body) = BUILT_IN.split_once("\n\n").unwrap_or((BUILT_IN, ""));
        let mut catalogue = Self {
            version: String::new(),
            sources: Vec::new(),
            body: Cow::Borrowed(body),
        };
        for line in head.lines() {
            catalogue.head_line(line);
        }
        catalogue
    }

    /// Reads a text of prices, whose lines may stand in any order.
    ///
    /// # Errors
    /// Everything that is wrong with it, line by line.
    pub fn read(text: &str) -> Result<Self, Vec<CatalogueError>> {
        let fault = |line, fault| CatalogueError { line, fault };
        if text.len() > CATALOGUE_BYTES_MAX {
            return Err(vec![fault(1, LineFault::TooLong)]);
        }
        if text.lines().next().map(str::trim_end) != Some(FORMAT) {
            return Err(vec![fault(1, LineFault::Format)]);
        }
        let mut catalogue = Self {
            version: String::new(),
            sources: Vec::new(),
            body: Cow::Borrowed(""),
        };
        let mut lines: Vec<(usize, &str)> = Vec::new();
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate().skip(1) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || catalogue.head_line(line) {
                continue;
            }
            match Line::read(line) {
                Ok(_) => lines.push((index + 1, line)),
                Err(wrong) => faults.push(fault(index + 1, wrong)),
            }
        }
        if catalogue.version.is_empty() {
            faults.push(fault(2, LineFault::Version));
        }
        // Stable: dates stay in the order in which they are written.
        lines.sort_by_key(|(_, line)| key_of(line));
        let body: Vec<&str> = lines.iter().map(|(_, line)| *line).collect();
        catalogue.body = Cow::Owned(body.join("\n"));
        catalogue.check(&lines, &mut faults);
        match faults.is_empty() {
            true => Ok(catalogue),
            false => {
                faults.sort_by_key(|fault| fault.line);
                Err(faults)
            }
        }
    }

    /// Whether the line is of the head; takes it in then.
    fn head_line(&mut self, line: &str) -> bool {
        if let Some(version) = line.strip_prefix("version ") {
            // Several words are none: the text has no version then.
            let is_word = version.split_whitespace().count() == 1;
            let version = if is_word { version.trim() } else { "" };
            version.clone_into(&mut self.version);
            return true;
        }
        if let Some(source) = line.strip_prefix("source ") {
            self.sources.push(source.trim().to_owned());
            return true;
        }
        false
    }

    /// Looks at the models one by one, with the lines they are written in.
    fn check(&self, lines: &[(usize, &str)], faults: &mut Vec<CatalogueError>) {
        for group in lines.chunk_by(|a, b| key_of(a.1) == key_of(b.1)) {
            let read: Result<Vec<Line<'_>>, _> =
                group.iter().map(|(_, line)| Line::read(line)).collect();
            let (Ok(read), Some((line, _))) = (read, group.first()) else {
                continue;
            };
            let fault = match read.as_slice() {
                [
                    Line {
                        says: Says::SameAs(target),
                        ..
                    },
                ] => {
                    let own = self.lines_of(target).next();
                    let priced = own.is_some_and(|own| matches!(own.says, Says::Costs { .. }));
                    (!priced).then(|| LineFault::Target((*target).to_owned()))
                }
                _ => schedule(&read).err(),
            };
            faults.extend(fault.map(|fault| CatalogueError { line: *line, fault }));
        }
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where the prices come from: name, version, licence.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// The prices of `provider/model`, under that name or another one of it.
    pub fn get(&self, key: &str) -> Option<Entry> {
        let own: Vec<Line<'_>> = self.lines_of(key).collect();
        let (key, lines) = match own.as_slice() {
            [
                Line {
                    says: Says::SameAs(target),
                    ..
                },
            ] => (*target, self.lines_of(target).collect()),
            _ => (key, own),
        };
        Some(Entry {
            key: key.to_owned(),
            schedule: schedule(&lines).ok()?,
        })
    }

    /// All names in order: each with the one that it stands for, if for another.
    pub fn names(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let mut last = "";
        self.body.lines().filter_map(move |line| {
            let line = Line::read(line).ok()?;
            let again = line.key == last;
            last = line.key;
            let target = match line.says {
                Says::SameAs(target) => Some(target),
                Says::Costs { .. } => None,
            };
            (!again).then_some((line.key, target))
        })
    }

    /// The names that begin so, in order.
    pub fn names_from(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let lines = self.from(prefix).lines();
        let keys = lines.map(key_of);
        keys.take_while(move |key| key.starts_with(prefix))
    }

    fn lines_of(&self, key: &str) -> impl Iterator<Item = Line<'_>> {
        let lines = self.from(key).lines();
        lines
            .take_while(move |line| key_of(line) == key)
            .filter_map(|line| Line::read(line).ok())
    }

    /// The text from the first line on whose key isn't below this one.
    fn from(&self, key: &str) -> &str {
        let body: &str = &self.body;
        // Between `low` and `high` lies where that line begins; both are begins.
        let (mut low, mut high) = (0, body.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let begin = body.get(low..middle).and_then(|text| text.rfind('\n'));
            let begin = begin.map_or(low, |at| low + at + 1);
            let line = body.get(begin..).unwrap_or("");
            let line = line.split('\n').next().unwrap_or("");
            if key_of(line) < key {
                low = (begin + line.len() + 1).min(body.len());
            } else {
                high = begin;
            }
        }
        body.get(low..).unwrap_or("")
    }
}

fn key_of(line: &str) -> &str {
    line.split(' ').next().unwrap_or("")
}

/// Whether a text can be a key.
pub fn is_key(key: &str) -> bool {
    let sides = key.split_once('/');
    let parts = sides.is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty());
    parts
        && key.len() <= KEY_BYTES_MAX
        && !key.starts_with('#')
        && !key.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Result<Self, LineFault> {
        let (key, rest) = line.split_once(' ').ok_or(LineFault::Key)?;
        if !is_key(key) {
            return Err(LineFault::Key);
        }
        let rest = rest.trim_start();
        if let Some(target) = rest.strip_prefix("= ") {
            let says = Says::SameAs(target.trim());
            return Ok(Self { key, says });
        }
        let says = match rest.strip_prefix('@') {
            None => Says::Costs {
                from: None,
                price: rest,
            },
            Some(rest) => {
                let (date, price) = rest.split_once(' ').unwrap_or((rest, ""));
                Says::Costs {
                    from: Some(date),
                    price,
                }
            }
        };
        Ok(Self { key, says })
    }
}

fn schedule(lines: &[Line<'_>]) -> Result<Schedule, LineFault> {
    let dated = lines.iter().map(|line| match line.says {
        Says::SameAs(_) => Err(LineFault::Mixed),
        Says::Costs { from, price } => {
            let from = match from {
                None => UnixMillis(0),
                Some(text) => date::read(text).ok_or_else(|| LineFault::Date(text.to_owned()))?,
            };
            let price = notation::read(price)?;
            Ok(Dated { from, price })
        }
    });
    Ok(Schedule::new(dated.collect::<Result<_, LineFault>>()?)?)
}

/// The head of a text of prices.
pub fn write_head(version: &str, sources: &[String]) -> String {
    let mut text = format!("{FORMAT}\nversion {version}\n");
    for source in sources {
        // Writing to a String can't fail.
        let _ = writeln!(text, "source {source}");
    }
    text.push('\n');
    text
}

/// The lines of a model.
pub fn write_lines(text: &mut String, key: &str, schedule: &Schedule) {
    for Dated { from, price } in schedule.iter() {
        write_line(text, key, *from, price);
    }
}

fn write_line(text: &mut String, key: &str, from: UnixMillis, price: &Price) {
    let _ = match from {
        UnixMillis(0) => writeln!(text, "{key} {price}"),
        from => writeln!(text, "{key} @{} {price}", date::Written(from)),
    };
}

/// The line of another name.
pub fn write_name(text: &mut String, key: &str, target: &str) {
    let _ = writeln!(text, "{key} = {target}");
}

#[cfg(test)]
mod tests;
