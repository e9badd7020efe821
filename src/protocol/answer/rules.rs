//! What sets the answers of one endpoint apart from others.

use super::heard::{self, Extent, Heard, Hearing, JsonReader};
use super::table::{self, Table};
use super::text::Text;

/// How the answers of one endpoint are read.
#[derive(Debug)]
pub struct Rules {
    /// A whole JSON answer.
    pub body: Object,
    /// An event of a stream.
    pub event: Object,
    /// What is looked for at the ends of an answer that is too long to parse.
    pub ends: Ends,
    pub figures: Figures,
    pub stream: StreamEnd,
    /// Events, by their own word, that say that the answer failed.
    pub failures: &'static [&'static str],
    /// Reasons to end that are none: the answer goes on.
    pub unfinished: &'static [&'static str],
    /// The endpoint produces no tokens, and so says nothing of them.
    pub no_output: bool,
    pub searches: Searches,
}

/// How an object is read.
#[derive(Debug)]
pub enum Object {
    Of(Table),
    By(for<'h, 'de> fn(&mut JsonReader<'de>, Hearing<'h, 'de>) -> Result<(), serde_json::Error>),
}

/// The members that are looked for at the ends of a long answer.
#[derive(Debug)]
pub struct Ends {
    /// Quoted.
    pub usage_name: &'static str,
    pub usage: Object,
    /// Quoted.
    pub model_name: &'static str,
}

/// What a later report of usage does to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    /// Input and output only grow: a report that takes something back is odd.
    Grow,
    /// What is said last counts, figure by figure.
    Last,
}

/// How searches of the web are counted that an answer shows.
#[derive(Debug, Clone, Copy)]
pub enum Searches {
    /// Each object of a stream shows others.
    Added,
    /// One may show again what one before it did: the most that one shows are
    /// all. How many of them are billed, by the model that answered.
    Repeated(fn(Option<&str>, u64) -> u64),
}

impl Searches {
    /// So many are known, of which the last object showed these.
    pub fn after(self, known: u64, shown: u64) -> u64 {
        match self {
            Searches::Added => known.saturating_add(shown),
            Searches::Repeated(_) => known.max(shown),
        }
    }

    pub fn billed(self, model: Option<&str>, searches: u64) -> u64 {
        match self {
            Searches::Added => searches,
            Searches::Repeated(billed) => billed(model, searches),
        }
    }
}

/// How a stream says that it came to its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// With `[DONE]`, or once every choice has ended.
    Done,
    /// With one of these events, by its own word, or an object that says so.
    Event(&'static [&'static str]),
    /// Without a word, once every choice has ended.
    Finished,
}

impl Rules {
    /// Those of a dialect that streams events; the rest as most have it.
    pub const fn new(body: Object, event: Object, stream: StreamEnd, ends: Ends) -> Self {
        Self {
            body,
            event,
            ends,
            figures: Figures::Last,
            stream,
            failures: &[],
            unfinished: &[],
            no_output: false,
            searches: Searches::Added,
        }
    }

    /// Those of an endpoint that answers in one JSON object.
    pub const fn plain(table: Table, ends: Ends) -> Self {
        Self::new(
            Object::Of(table),
            Object::Of(table),
            StreamEnd::Finished,
            ends,
        )
    }
}

impl Object {
    pub fn read<'a>(
        &self,
        bytes: &'a [u8],
        extent: Extent,
        text: &mut Text,
    ) -> Result<Heard<'a>, serde_json::Error> {
        match self {
            Object::Of(table) => heard::read(bytes, extent, text, |reader, hearing| {
                table::read(table, reader, hearing)
            }),
            Object::By(read) => heard::read(bytes, extent, text, read),
        }
    }
}
