//! Where in a body something stands, written as OpenAI does: `messages[3].content[1].type`.
//!
//! Places are chained on the stack as reading descends and become text only
//! when there is an error.

use std::fmt;

/// A place in a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    Body,
    Field(&'p Place<'p>, &'static str),
    Item(&'p Place<'p>, usize),
}

impl Place<'_> {
    pub(super) fn field(&self, name: &'static str) -> Place<'_> {
        Place::Field(self, name)
    }

    pub(super) fn item(&self, index: usize) -> Place<'_> {
        Place::Item(self, index)
    }
}

/// As deep as the fields that are read, which is five.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Body => Ok(()),
            Place::Field(Place::Body, name) => f.write_str(name),
            Place::Field(parent, name) => write!(f, "{parent}.{name}"),
            Place::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
