//! Values and statements, the same for both engines.

use std::fmt::Write;
use uuid::Uuid;

/// The type of a column or of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    Id,
    Int,
    Bool,
    Text,
    Bytes,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    Null(Type),
    Id(Uuid),
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    /// Of PostgreSQL: many of one type.
    Array(Type, Vec<Value>),
}

impl Value {
    pub fn kind(&self) -> Type {
        match self {
            Value::Null(kind) | Value::Array(kind, _) => *kind,
            Value::Id(_) => Type::Id,
            Value::Int(_) => Type::Int,
            Value::Bool(_) => Type::Bool,
            Value::Text(_) => Type::Text,
            Value::Bytes(_) => Type::Bytes,
        }
    }

    /// Text, or its absence.
    pub fn text(text: Option<&str>) -> Self {
        text.map_or(Value::Null(Type::Text), |text| Value::Text(text.to_owned()))
    }
}

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// A statement and what is bound to it. Values never become part of its text.
#[derive(Debug, Clone)]
pub struct Sql {
    dialect: Dialect,
    pub text: String,
    pub values: Vec<Value>,
}

impl Sql {
    pub fn new(dialect: Dialect, text: &str) -> Self {
        Self {
            dialect,
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    #[must_use]
    pub fn and(mut self, text: &str) -> Self {
        self.push(text);
        self
    }

    #[must_use]
    pub fn bind(mut self, value: Value) -> Self {
        self.push_value(value);
        self
    }

    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A place for a value, and the value.
    pub fn push_value(&mut self, value: Value) {
        self.values.push(value);
        match self.dialect {
            Dialect::Sqlite => self.text.push('?'),
            Dialect::Postgres => {
                // Writing to a string can't fail.
                let _ = write!(self.text, "${}", self.values.len());
            }
        }
    }

    /// `(?, ?, ...)`.
    pub fn push_tuple(&mut self, values: impl IntoIterator<Item = Value>) {
        let mut before = "(";
        for value in values {
            self.push(before);
            self.push_value(value);
            before = ", ";
        }
        self.push(")");
    }
}
