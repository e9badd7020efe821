//! Names: which field or entry of a map a path is.

use super::lower::{Lowering, Result, Typed, operand};
use super::tree::Node;
use super::words::dotted;
use super::{DEPTH_MAX, Field, Kind, NotACondition};
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, SelectExpr, operators};

/// Has is a macro of the parser, which takes a selection by a dot.
pub const HAS_FORM: NotACondition = NotACondition::Form {
    of: "has",
    form: "has(a.field) or has(map.key); for other keys, \"a-key\" in map",
};

/// What a path names.
enum Place<'p> {
    Field(Field, Kind),
    Entry(Field, &'p str),
    Walked,
}

impl<'l> Lowering<'l> {
    pub fn named(&mut self, expression: &IdedExpr) -> Result<Typed> {
        let path = path(expression).unwrap_or_default();
        let typed = match self.place(&path)? {
            Place::Walked => Typed::new(Node::Walked, Kind::Text),
            Place::Entry(map, key) => {
                self.asks_key(map, key);
                let key = Box::new(Node::Text(key.into()));
                Typed::new(Node::Entry(map, key), Kind::Text)
            }
            Place::Field(field, kind @ (Kind::Texts | Kind::Map)) => {
                Typed::new(Node::Whole(field), kind)
            }
            Place::Field(field, kind) => Typed::new(Node::Field(field), kind),
        };
        Ok(typed)
    }

    /// An entry of a map, by a key that is found out when it is asked.
    pub fn entry_of(
        &mut self,
        map: &'l IdedExpr,
        key: impl FnOnce(&mut Self) -> Result<Node>,
    ) -> Result<Typed> {
        let typed = self.lower(map)?;
        match typed {
            Typed {
                node: Node::Whole(map),
                kind: Kind::Map,
            } => {
                let key = key(self)?;
                if let Node::Text(key) = &key {
                    self.asks_key(map, key);
                }
                Ok(Typed::new(Node::Entry(map, Box::new(key)), Kind::Text))
            }
            typed => Err(NotACondition::Takes {
                of: "[…]",
                takes: "a map, and names of fields as they are written",
                given: operand(map, &typed),
            }),
        }
    }

    pub fn has(&mut self, select: &'l SelectExpr) -> Result<Typed> {
        let mut path = path(&select.operand).ok_or(HAS_FORM)?;
        path.push(&select.field);
        let node = match self.place(&path)? {
            Place::Walked => return Err(HAS_FORM),
            Place::Entry(map, key) => {
                self.asks_key(map, key);
                Node::HasEntry(map, key.into())
            }
            Place::Field(list, Kind::Texts) => Node::HasTexts(list),
            Place::Field(_, Kind::Map) => {
                return Err(NotACondition::Unusable {
                    what: "has() of a whole map",
                    instead: "it is always there: ask for a key of it",
                });
            }
            Place::Field(field, _) => Node::HasValue(field),
        };
        Ok(Typed::new(node, Kind::Bool))
    }

    fn place<'p>(&mut self, path: &[&'p str]) -> Result<Place<'p>> {
        if path.len() > DEPTH_MAX {
            return Err(NotACondition::Depth);
        }
        if let Some(variable) = self.walked.filter(|walked| path.first() == Some(walked)) {
            return match path.get(1) {
                None => Ok(Place::Walked),
                Some(name) => Err(no_part(&[variable], Kind::Text, name)),
            };
        }
        let missing = match self.schema.field(path) {
            Ok((field, kind)) => {
                self.asks(field);
                return Ok(Place::Field(field, kind));
            }
            Err(missing) => missing,
        };
        for end in (1..path.len()).rev() {
            let (of, name) = (&path[..end], path[end]);
            match self.schema.field(of) {
                Ok((map, Kind::Map)) if end + 1 == path.len() => {
                    self.asks(map);
                    return Ok(Place::Entry(map, name));
                }
                Ok((_, Kind::Map)) => {
                    return Err(no_part(&path[..=end], Kind::Text, path[end + 1]));
                }
                Ok((_, kind)) => return Err(no_part(of, kind, name)),
                Err(_) => {}
            }
        }
        let path = path.iter().map(|&part| part.to_owned()).collect();
        Err(NotACondition::NoField { path, missing })
    }

    fn asks(&mut self, field: Field) {
        if !self.fields.contains(&field) {
            self.fields.push(field);
        }
    }
}

fn no_part(of: &[&str], kind: Kind, name: &str) -> NotACondition {
    NotACondition::NoPart {
        of: dotted(of.iter().copied()),
        kind,
        name: name.to_owned(),
    }
}

/// The parts of a name and of what is selected from it by names and literal texts.
pub fn path(expression: &IdedExpr) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut at = expression;
    loop {
        match &at.expr {
            Expr::Ident(name) => {
                parts.push(name.as_str());
                parts.reverse();
                return Some(parts);
            }
            Expr::Select(select) if !select.test => {
                parts.push(&select.field);
                at = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX => match &call.args[..] {
                [
                    of,
                    IdedExpr {
                        expr: Expr::Literal(LiteralValue::String(name)),
                        ..
                    },
                ] => {
                    parts.push(name.inner());
                    at = of;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
}
