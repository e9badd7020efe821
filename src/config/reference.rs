//! What the configuration may say: every field, its form, its default and what it
//! means. [`schema`] makes a JSON Schema of it, [`markdown`] a text to read.
//!
//! Fields are read by hand (`raw`), with messages that no derived reader would
//! give, into types that are what a text means and not how it is written; a schema
//! derived from those would describe another file. So the tables here stand beside
//! the reader. Always holds, by test: at each place they have exactly the fields
//! that the reader knows there, each with a value that the reader takes.

mod access;
mod alerts;
mod basics;
mod forms;
mod ledger;
mod limits;
pub mod markdown;
mod models;
mod plans;
mod rules;
pub mod schema;
mod services;
mod tenants;
#[cfg(test)]
mod tests;

pub use basics::FILE;

/// A mapping whose names of fields are fixed.
#[derive(Debug)]
pub struct Block {
    /// Its name in the schema and in the text.
    pub id: &'static str,
    pub doc: &'static str,
    pub fields: &'static [Field],
    /// Exactly one of the fields may be there.
    pub is_choice: bool,
}

/// A field of a block.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub form: &'static Form,
    pub need: Need,
    pub doc: &'static str,
}

/// Whether a field must be there, and what counts where it isn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Required,
    /// As if this were written.
    Default(&'static str),
    /// Left out it means this, in words.
    Optional(&'static str),
}

/// How a value is written.
#[derive(Debug)]
pub enum Form {
    Written(&'static Written),
    /// One of these words.
    Words(&'static [&'static str]),
    Block(&'static Block),
    List(&'static Form),
    /// One, or a list.
    Some(&'static Form),
    /// A mapping under names that the operator chooses.
    Named(&'static Form),
    Any(&'static [Form]),
}

/// A form of texts and numbers.
#[derive(Debug)]
pub struct Written {
    /// Its name in the schema.
    pub id: &'static str,
    /// What it is, for readers.
    pub doc: &'static str,
    /// One that is right.
    pub example: &'static str,
    /// JSON types that it may have.
    pub types: &'static [&'static str],
    /// What it must match where it is a text.
    pub pattern: &'static str,
}

const fn block(id: &'static str, doc: &'static str, fields: &'static [Field]) -> Block {
    Block {
        id,
        doc,
        fields,
        is_choice: false,
    }
}

const fn choice(id: &'static str, doc: &'static str, fields: &'static [Field]) -> Block {
    Block {
        id,
        doc,
        fields,
        is_choice: true,
    }
}

const fn req(name: &'static str, form: &'static Form, doc: &'static str) -> Field {
    Field {
        name,
        form,
        need: Need::Required,
        doc,
    }
}

const fn def(
    name: &'static str,
    form: &'static Form,
    default: &'static str,
    doc: &'static str,
) -> Field {
    Field {
        name,
        form,
        need: Need::Default(default),
        doc,
    }
}

const fn opt(
    name: &'static str,
    form: &'static Form,
    otherwise: &'static str,
    doc: &'static str,
) -> Field {
    Field {
        name,
        form,
        need: Need::Optional(otherwise),
        doc,
    }
}

impl Written {
    /// Whether it is a number, which is never less than none, with or without a unit.
    fn is_of_digits(&self) -> bool {
        self.pattern.starts_with("^[0-9]") && self.id != "date"
    }
}

impl Form {
    /// The blocks that a value may be, or have in it.
    pub fn blocks(&self) -> Vec<&'static Block> {
        match self {
            Form::Written(_) | Form::Words(_) => Vec::new(),
            Form::Block(block) => vec![block],
            Form::List(each) | Form::Some(each) | Form::Named(each) => each.blocks(),
            Form::Any(forms) => forms.iter().flat_map(Form::blocks).collect(),
        }
    }
}

/// All blocks, each before those in it, from the whole file on.
pub fn blocks() -> Vec<&'static Block> {
    let mut all: Vec<&'static Block> = Vec::new();
    let mut left = vec![&FILE];
    while let Some(block) = left.pop() {
        if all.iter().any(|known| known.id == block.id) {
            continue;
        }
        all.push(block);
        let within = block.fields.iter().flat_map(|field| field.form.blocks());
        let within: Vec<_> = within.collect();
        left.extend(within.into_iter().rev());
    }
    all
}
