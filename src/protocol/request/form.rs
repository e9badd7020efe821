//! What sets the requests of one endpoint apart from others: tables that the
//! one reader follows.

use super::{Fault, Place, Reading};

/// How the requests of one endpoint are read.
pub(in crate::protocol) struct Form {
    /// The fields of the body that are read; others are passed over, but no two
    /// may share a name.
    pub members: &'static [Member],
    pub model: ModelField,
    /// The field without which there is nothing to do.
    pub input: Option<&'static str>,
    pub stream: StreamField,
    pub cap: CapRule,
}

/// Reads a field's value, or passes over it.
pub(in crate::protocol) type Read = fn(&mut Reading<'_>, &Place<'_>) -> Result<(), Fault>;

/// A field of an object.
pub(in crate::protocol) struct Member {
    pub name: &'static str,
    /// Another name that the provider takes for the same field.
    pub other_name: Option<&'static str>,
    pub read: Read,
}

pub(in crate::protocol) const fn member(name: &'static str, read: Read) -> Member {
    Member {
        name,
        other_name: None,
        read,
    }
}

/// The name under which a table says how all other fields are read; without it
/// they are passed over.
pub(in crate::protocol) const OTHERS: &str = "";

/// A field with two names.
pub(in crate::protocol) const fn spelt(
    name: &'static str,
    other_name: &'static str,
    read: Read,
) -> Member {
    Member {
        name,
        other_name: Some(other_name),
        read,
    }
}

/// Where the model's name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum ModelField {
    /// In the body, unless the path names one.
    Required,
    /// In the body; the provider takes this one where it doesn't.
    Usually(&'static str),
    /// In the path alone.
    InPath,
}

/// What says whether the answer is a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum StreamField {
    /// The body's `stream`, and this where it doesn't.
    Usually(bool),
    /// The endpoint.
    Always(bool),
}

/// Where a cap on the output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapField {
    /// Nowhere: the output has another measure, or there is none.
    None,
    /// In this field of the body.
    Body(&'static str),
    /// In the field that the model takes: `max_tokens`, or its successor.
    OfModel,
    /// In a field of an object in the body, both created if need be.
    In {
        object: &'static str,
        name: &'static str,
    },
}

/// What says where a cap is written.
#[derive(Clone, Copy)]
pub(in crate::protocol) enum CapRule {
    Is(CapField),
    /// The model's name: its makers differ.
    ByModel(fn(&str) -> CapField),
}

/// A field that a cap is written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapPlace {
    /// The object of the body that it is a member of; `None`: of the body.
    pub object: Option<&'static str>,
    pub name: &'static str,
}

impl CapPlace {
    pub const fn of_body(name: &'static str) -> Self {
        Self { object: None, name }
    }

    /// Whether a cap of this name can be the one that is meant. Nova's takes two.
    pub fn takes(self, name: &str) -> bool {
        let nova = self.name == "max_new_tokens" && name == "maxTokens";
        name == self.name || nova
    }
}

impl CapField {
    /// The field, where `of_model` is the one that the model takes; `None`
    /// where no cap can be written.
    pub fn place(self, of_model: &'static str) -> Option<CapPlace> {
        match self {
            CapField::None => None,
            CapField::Body(name) => Some(CapPlace::of_body(name)),
            CapField::OfModel => Some(CapPlace::of_body(of_model)),
            CapField::In { object, name } => Some(CapPlace {
                object: Some(object),
                name,
            }),
        }
    }
}
