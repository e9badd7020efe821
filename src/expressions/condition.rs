//! Conditions: expressions that are true or false, checked against a schema of
//! fields when they are compiled, and asked of each call.
//!
//! The language is a part of CEL (see [`super`]). Its parser is the `cel` crate's;
//! its types are checked here, and what is left is a small tree of our own, as
//! the crate's interpreter allocates at every step. The tests hold the tree to
//! that interpreter's answers.
//!
//! A condition may use: literals; fields, `map.key` and `map["key"]`; `==`, `!=`,
//! `<`, `<=`, `>`, `>=`, ints and doubles against one another too; `&&`, `||`, `!`,
//! `?:`; `+ - * / %` of two ints, `+ - * /` of two doubles; `in` a list, a list of
//! texts or a map's keys; `has()`; `size()` of a text or a list of texts;
//! `startsWith`, `endsWith`, `contains`; `matches` of a literal pattern; `exists`
//! and `all` over a list of texts; `usd()` of a literal, in nano-dollars.
//!
//! Always holds: one that compiled asks only for fields that exist, as what they
//! are, and its tree has no more than [`DEPTH_MAX`] levels and [`NODES_MAX`] nodes,
//! so that asking it takes bounded stack, and time in proportion to the longest
//! text or list. Asking it allocates nothing and has no effects. A field without a
//! value makes what needs it have none, as an error does in CEL: `false && x` is
//! false and `true || x` true all the same, on either side.
//!
//! Left to others: what the fields are and mean, how long their texts and lists
//! get, and what a rule does whose condition has no value.

mod amounts;
mod calls;
mod fields;
mod lower;
mod pattern;
#[cfg(test)]
mod tests;
mod tree;
mod words;
mod wrong;

use super::{EXPRESSION_BYTES_MAX, NoValue};
use cel::parser::Parser;
use std::fmt;
use std::sync::Arc;

pub use wrong::{NotACondition, Operand};

/// The most levels of a tree: asking walks it by recursion, and no condition that
/// a person reads goes near. `&&` and `||` in a row are few levels.
pub const DEPTH_MAX: usize = 32;

/// The most nodes of a tree: what asking may cost, beside the lengths of texts and
/// lists. A list of two hundred models fits.
pub const NODES_MAX: usize = 256;

/// What the automata of a condition's patterns may take together. A pattern of
/// words, classes and alternatives needs a few kilobytes, `\w` a hundred; what
/// needs more grows exponentially.
pub const PATTERNS_BYTES_MAX: usize = 1 << 20;

/// What a field's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Bool,
    Int,
    Float,
    Text,
    /// A list of texts.
    Texts,
    /// From texts to texts.
    Map,
}

/// A field that conditions may ask for; which one is the schema's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field(pub u32);

/// Which fields there are.
pub trait Schema {
    /// The field that a dotted path names: `["request", "cost_max"]`. A part may
    /// have been written as an index, `budget["monthly"].used`. It is not asked for
    /// the keys of a map: they may be any.
    ///
    /// # Errors
    /// No field is named so.
    fn field(&self, path: &[&str]) -> Result<(Field, Kind), NoField>;
}

/// No field is named so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoField {
    /// The first part of the path that names nothing, from 0; the path's length
    /// where it stops too early.
    pub at: usize,
    /// What could stand there.
    pub known: Vec<String>,
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'f> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'f str),
}

/// What a condition is asked of.
pub trait Facts {
    /// A field of a single value; none where it has no value now. One of another
    /// kind than the schema said counts as none.
    fn value(&self, field: Field) -> Option<Value<'_>>;

    /// Whether it is known what a map has: else nothing can be said to be missing.
    fn is_map_known(&self, _map: Field) -> bool {
        true
    }

    /// What a map has under this key.
    fn entry(&self, map: Field, key: &str) -> Option<&str>;

    /// How many texts a list has; none where there is no list now.
    fn texts_len(&self, list: Field) -> Option<usize>;

    /// A text of a list, by its place below [`Facts::texts_len`].
    fn text_at(&self, list: Field, at: usize) -> Option<&str>;
}

/// A compiled condition; a clone shares it.
#[derive(Clone)]
pub struct Condition(Arc<Compiled>);

struct Compiled {
    text: Box<str>,
    tree: tree::Node,
    fields: Vec<Field>,
    texts: Vec<(Field, Box<str>)>,
    keys: Vec<(Field, Box<str>)>,
}

impl Condition {
    /// Compiles a condition over these fields.
    ///
    /// # Errors
    /// See [`NotACondition`].
    pub fn compile(text: &str, schema: &dyn Schema) -> Result<Self, NotACondition> {
        if text.is_empty() || text.len() > EXPRESSION_BYTES_MAX {
            return Err(NotACondition::Length);
        }
        let parsed = Parser::new().parse_with_source_info(text);
        let (expression, source) = parsed.map_err(|errors| {
            let said = errors.errors.first().map_or("", |error| &error.msg);
            match said.starts_with("invalid argument to has()") {
                true => fields::HAS_FORM,
                false => NotACondition::Syntax(super::syntax(said)),
            }
        })?;
        let lowered = lower::lower(&expression, &source, schema)?;
        Ok(Self(Arc::new(Compiled {
            text: text.into(),
            tree: lowered.tree,
            fields: lowered.fields,
            texts: lowered.texts,
            keys: lowered.keys,
        })))
    }

    /// Whether it is so by these facts. Allocates nothing.
    ///
    /// # Errors
    /// Something that decides it has no value: a field or a map's entry that isn't
    /// there, arithmetic of ints that overflows or divides by zero, the order of
    /// what is not a number.
    pub fn holds<F: Facts + ?Sized>(&self, facts: &F) -> Result<bool, NoValue> {
        tree::truth(&self.0.tree, facts, None)
    }

    /// The fields that it asks for, each once, as they come.
    pub fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        self.0.fields.iter().copied()
    }

    /// The literals that a field of text is compared with by `==`, `!=` or `in`, so
    /// that whoever knows the field's meaning can say whether there is such a one.
    pub fn texts_compared(&self) -> impl Iterator<Item = (Field, &str)> + '_ {
        self.0.texts.iter().map(|(field, text)| (*field, &**text))
    }

    /// The keys that maps are asked for, each once, as far as they are written out.
    pub fn keys_asked(&self) -> impl Iterator<Item = (Field, &str)> + '_ {
        self.0.keys.iter().map(|(map, key)| (*map, &**key))
    }

    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

/// By their texts.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.0.text)
    }
}
