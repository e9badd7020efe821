//! The fields of one object: known ones by name, each at most once.
//!
//! Servers differ in what they do with a name that stands twice, and some
//! (those written in Go, for one) read `Model` as `model`. Both are refused for
//! every name that weir reads.

use super::{Fault, Member, Place};
use crate::protocol::TextSpan;
use crate::protocol::json::{Kind, Open, Scanner};
use std::borrow::Cow;

/// The most fields of a body besides those that weir reads. OpenAI's requests
/// have about forty.
pub(super) const OTHERS_MAX: usize = 256;

/// The longest name of such a field, as written in the body: keeps comparing
/// them cheap.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// A field whose value comes next.
pub(in crate::protocol) enum Field {
    /// One that the object's reader asked for.
    Known(&'static Member),
    Other(TextSpan),
}

impl Field {
    /// Its usual name, where it is known.
    pub(super) fn known_name(&self) -> Option<&'static str> {
        match self {
            Field::Known(member) => Some(member.name),
            Field::Other(_) => None,
        }
    }
}

/// An object being read.
pub(in crate::protocol) struct Fields {
    known: &'static [Member],
    /// One bit for each of `known` that has been seen; there are at most 64.
    seen: u64,
    open: Open,
    /// The name of the field that came last.
    pub(super) key: TextSpan,
}

impl Fields {
    pub(in crate::protocol) fn open(
        known: &'static [Member],
        json: &mut Scanner,
        place: &Place,
    ) -> Result<Self, Fault> {
        debug_assert!(known.len() <= 64);
        if json.peek()? != Kind::Object {
            return Err(Fault::at(place, "must be an object"));
        }
        let open = json.open_object()?;
        let key = TextSpan {
            span: 0..0,
            escaped: false,
        };
        Ok(Self {
            known,
            seen: 0,
            open,
            key,
        })
    }

    /// The next field; its value must be read or skipped before the next call.
    pub(in crate::protocol) fn next(
        &mut self,
        json: &mut Scanner,
        place: &Place,
    ) -> Result<Option<Field>, Fault> {
        let Some(key) = json.next_key(&mut self.open)? else {
            return Ok(None);
        };
        self.key = key.clone();
        let text = json.key_text(&key);
        let Some((index, member)) = find(self.known, |name| name == text) else {
            if let Some((_, member)) = find(self.known, |name| is_variant(text, name)) {
                return Err(Fault::at(
                    &place.field(member.name),
                    "is written in another case; servers differ in how they read that",
                ));
            }
            return Ok(Some(Field::Other(key)));
        };
        let bit = 1_u64 << (index % 64);
        if self.seen & bit != 0 {
            return Err(Fault::at(
                &place.field(member.name),
                "is given twice; give it once",
            ));
        }
        self.seen |= bit;
        Ok(Some(Field::Known(member)))
    }
}

fn find(known: &'static [Member], is: impl Fn(&str) -> bool) -> Option<(usize, &'static Member)> {
    let mut members = known.iter().enumerate();
    members.find(|(_, member)| is(member.name) || member.other_name.is_some_and(&is))
}

/// Whether a lenient parser may take `text` for `name`.
fn is_variant(text: &str, name: &str) -> bool {
    text.chars().map(folded).eq(name.chars().map(folded))
}

/// Unicode's simple case folding, as far as it ends in ASCII.
pub(super) fn folded(character: char) -> char {
    match character {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// The names of a body's other fields, to find one that stands twice.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    names: Vec<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Adds the name of a field that isn't known.
    pub(super) fn add(&mut self, key: &TextSpan, json: &Scanner<'a>) -> Result<(), Fault> {
        if key.span.len() > NAME_BYTES_MAX {
            return Err(Fault::body(
                "The request body has a field whose name is longer than 256 bytes.",
            ));
        }
        if self.names.len() == OTHERS_MAX {
            return Err(Fault::body(
                "The request body has more fields than this gateway reads (256).",
            ));
        }
        self.names.push(json.text(key));
        Ok(())
    }

    /// Refuses two of one name.
    pub(super) fn check(mut self) -> Result<(), Fault> {
        self.names.sort_unstable();
        match self
            .names
            .windows(2)
            .any(|pair| pair.first() == pair.last())
        {
            true => Err(Fault::body(
                "Two fields of the request body have the same name.",
            )),
            false => Ok(()),
        }
    }
}
