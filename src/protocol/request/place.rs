//! Where in a body something stands, written as OpenAI does: `messages[3].content[1].type`.
//!
//! Places are chained on the stack as reading descends and become text only
//! when there is an error.

use std::fmt;

/// A place in a body.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) enum Place<'p> {
    Body,
    Field(&'p Place<'p>, &'static str),
    Item(&'p Place<'p>, usize),
}

impl Place<'_> {
    pub(in crate::protocol) fn field(&self, name: &'static str) -> Place<'_> {
        Place::Field(self, name)
    }

    /// The name of the field that it is; empty where it is none.
    pub(in crate::protocol) fn name(&self) -> &'static str {
        match self {
            Place::Field(_, name) => name,
            Place::Body | Place::Item(..) => "",
        }
    }

    pub(in crate::protocol) fn item(&self, index: usize) -> Place<'_> {
        Place::Item(self, index)
    }
}

/// As deep as the fields that are read, which is less than ten.
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
