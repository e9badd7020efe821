//! How often a call may have its provider search the web, by the tools that it
//! lets the provider use. Each search is billed beside the tokens.
//!
//! | a call | is held at |
//! |---|---|
//! | to Anthropic, whose tool says `max_uses` | that |
//! | of responses, that says `max_tool_calls` | that |
//! | of a chat with `web_search_options` | one: such models search once, always |
//! | to Gemini before 3 | one: calls are billed that were grounded, not their searches |
//! | any other that may search | [`SEARCHES_GUESSED`] |
//!
//! Always holds: none is held at more than [`SEARCHES_MAX`], whatever it says. What
//! is held is charged where a call is lost, so a caller's word alone could put a
//! tenant into a debt of billions, and what is added to such a sum fits no more.
//!
//! Left to others: searches that no field of the request asks for (a model that
//! always searches, a plugin); they are charged where the answer tells.

use super::{Fault, Field, Fields, Member, Place, Reading, member, spelt, take, value};
use crate::protocol::json::{Kind, Scanner};

/// What is held where nothing bounds the searches of a call: more than nearly
/// all answers take. Research models make more, which is charged once they are
/// told of.
pub const SEARCHES_GUESSED: u64 = 10;

/// The most that is held: research takes some hundred. A call that makes more is
/// charged for them once they are told of.
pub const SEARCHES_MAX: u64 = 1_000;

/// The searches that a call may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::protocol) struct Searches {
    /// Of the tools that say how many.
    pub bounded: u64,
    /// A tool may search that doesn't say.
    pub unbounded: bool,
    /// The most calls of all the provider's tools together.
    pub tool_calls_max: Option<u64>,
}

impl Searches {
    /// The most, or a guess.
    pub fn most(self) -> u64 {
        let most = match (self.unbounded, self.tool_calls_max) {
            (true, Some(most)) => most,
            (true, None) => self.bounded.saturating_add(SEARCHES_GUESSED),
            (false, most) => self.bounded.min(most.unwrap_or(u64::MAX)),
        };
        most.min(SEARCHES_MAX)
    }
}

/// A tool of the provider's own is known by its type, as in
/// `web_search_20250305`, `web_search_preview`.
const SEARCH_TYPE: &str = "web_search";

const TYPE: &[Member] = &[member("type", take::pass), member("max_uses", take::pass)];

/// As [`Reading::tools`], where a tool's `type` may say that it searches, and its
/// `max_uses` how often.
pub(in crate::protocol) fn tools_with_uses(
    reading: &mut Reading,
    place: &Place,
) -> Result<(), Fault> {
    reading.tools_by(place, |tool, place| {
        let tool = typed(tool, place)?;
        Ok(tool.searches.then_some(tool.uses))
    })
}

/// The same where a tool says nothing of how often.
pub(in crate::protocol) fn tools(reading: &mut Reading, place: &Place) -> Result<(), Fault> {
    reading.tools_by(place, |tool, place| {
        Ok(typed(tool, place)?.searches.then_some(None))
    })
}

/// Gemini's, known by a member's name. `by_call`: its calls are billed that
/// searched, however often.
pub(in crate::protocol) fn gemini_tools(
    reading: &mut Reading,
    place: &Place,
    by_call: bool,
) -> Result<(), Fault> {
    let before = reading.searches;
    reading.tools_by(place, |tool, place| Ok(named(tool, place)?.then_some(None)))?;
    if by_call && reading.searches.unbounded {
        reading.searches = Searches {
            bounded: 1,
            ..before
        };
    }
    Ok(())
}

/// The most calls of the provider's own tools.
pub(in crate::protocol) fn tool_calls_max(reading: &mut Reading, _: &Place) -> Result<(), Fault> {
    // Whatever else stands there bounds nothing.
    reading.searches.tool_calls_max = count(&mut reading.json)?;
    Ok(())
}

/// Options of a search that is always made, and once.
pub(in crate::protocol) fn search_options(
    reading: &mut Reading,
    place: &Place,
) -> Result<(), Fault> {
    if reading.json.peek()? != Kind::Null {
        reading.searches.bounded = reading.searches.bounded.max(1);
        reading.name_tool(SEARCH_TYPE, place)?;
    }
    reading.skip()
}

/// Whether a tool searches, and how often if it says so.
type Uses = Option<Option<u64>>;

impl Reading<'_> {
    fn tools_by(
        &mut self,
        place: &Place,
        uses: fn(&mut Scanner<'_>, &Place<'_>) -> Result<Uses, Fault>,
    ) -> Result<(), Fault> {
        let first = self.texts.len();
        self.tools(place)?;
        let mut searches = self.searches;
        for tool in self.raw_values(first) {
            let mut tool = Scanner::new(tool)?;
            if tool.peek()? != Kind::Object {
                continue;
            }
            match uses(&mut tool, place)? {
                None => {}
                Some(None) => searches.unbounded = true,
                Some(Some(uses)) => searches.bounded = searches.bounded.saturating_add(uses),
            }
        }
        self.searches = searches;
        Ok(())
    }
}

#[derive(Default)]
struct Typed {
    searches: bool,
    uses: Option<u64>,
}

fn typed(tool: &mut Scanner<'_>, place: &Place<'_>) -> Result<Typed, Fault> {
    let mut typed = Typed::default();
    let mut fields = Fields::open(TYPE, tool, place)?;
    while let Some(field) = fields.next(tool, place)? {
        match field {
            Field::Known(Member { name: "type", .. }) if tool.peek()? == Kind::String => {
                let kind = tool.string()?;
                typed.searches = tool.key_text(&kind).starts_with(SEARCH_TYPE);
            }
            Field::Known(Member {
                name: "max_uses", ..
            }) => typed.uses = count(tool)?,
            Field::Known(_) | Field::Other(_) => {
                tool.skip_value()?;
            }
        }
    }
    Ok(typed)
}

const NAMED: &[Member] = &[
    spelt("googleSearch", "google_search", take::pass),
    spelt(
        "googleSearchRetrieval",
        "google_search_retrieval",
        take::pass,
    ),
];

fn named(tool: &mut Scanner<'_>, place: &Place<'_>) -> Result<bool, Fault> {
    let mut searches = false;
    let mut fields = Fields::open(NAMED, tool, place)?;
    while let Some(field) = fields.next(tool, place)? {
        let is_there = tool.peek()? != Kind::Null;
        searches |= is_there && matches!(field, Field::Known(_));
        tool.skip_value()?;
    }
    Ok(searches)
}

/// A whole number; `None` for anything else.
fn count(json: &mut Scanner<'_>) -> Result<Option<u64>, Fault> {
    let is_number = json.peek()? == Kind::Number;
    let span = json.skip_value()?;
    let number = value::whole_number(json.bytes(&span));
    Ok(number.filter(|_| is_number))
}
