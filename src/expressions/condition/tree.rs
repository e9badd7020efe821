//! The tree of a condition, its types checked, and what it is by given facts.

use super::pattern::Pattern;
use super::{Facts, Field, Value};
use crate::expressions::NoValue;
use std::cmp::Ordering;

/// What a part of a condition is. Kinds fit by construction: where facts give a
/// value of another kind than was promised, there is none.
#[derive(Debug)]
pub enum Node {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    /// A field of a single value.
    Field(Field),
    /// A field that is a list of texts or a map: what others ask of, no value.
    Whole(Field),
    /// The text that a walk is at.
    Walked,
    Entry(Field, Box<Node>),
    HasValue(Field),
    HasTexts(Field),
    HasEntry(Field, Box<str>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    /// A condition, what it is where it holds, what it is where not.
    Choice(Box<[Node; 3]>),
    Compare(Relation, Box<[Node; 2]>),
    Negate(Box<Node>),
    Math(Operator, Box<[Node; 2]>),
    /// In a list that is written out.
    Among(Box<Node>, Vec<Node>),
    InTexts(Box<Node>, Field),
    InKeys(Box<Node>, Field),
    /// A text's characters.
    Chars(Box<Node>),
    /// A list's texts.
    Texts(Field),
    Affix(Affix, Box<[Node; 2]>),
    Matches(Box<Node>, Pattern),
    Walk {
        list: Field,
        until: bool,
        body: Box<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// How one text is part of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affix {
    Start,
    End,
    Within,
}

/// What a node of a truth is.
pub fn truth<F: Facts + ?Sized>(
    node: &Node,
    facts: &F,
    walked: Option<&str>,
) -> Result<bool, NoValue> {
    match node {
        Node::And(parts) => parted(parts, false, facts, walked),
        Node::Or(parts) => parted(parts, true, facts, walked),
        Node::Not(part) => Ok(!truth(part, facts, walked)?),
        Node::Compare(relation, sides) => {
            let left = value(&sides[0], facts, walked)?;
            let right = value(&sides[1], facts, walked)?;
            compare(*relation, left, right)
        }
        _ => match value(node, facts, walked)? {
            Value::Bool(is) => Ok(is),
            _ => Err(NoValue),
        },
    }
}

fn value<'v, F: Facts + ?Sized>(
    node: &'v Node,
    facts: &'v F,
    walked: Option<&'v str>,
) -> Result<Value<'v>, NoValue> {
    let found = match node {
        Node::Bool(is) => Value::Bool(*is),
        Node::Int(is) => Value::Int(*is),
        Node::Float(is) => Value::Float(*is),
        Node::Text(is) => Value::Text(is),
        Node::Field(field) => return facts.value(*field).ok_or(NoValue),
        Node::Whole(_) => return Err(NoValue),
        Node::Walked => Value::Text(walked.ok_or(NoValue)?),
        Node::Entry(map, key) => {
            let key = text(key, facts, walked)?;
            Value::Text(facts.entry(*map, key).ok_or(NoValue)?)
        }
        Node::Not(_) | Node::And(_) | Node::Or(_) | Node::Compare(..) => {
            Value::Bool(truth(node, facts, walked)?)
        }
        Node::Choice(parts) => {
            let [condition, so, else_so] = &**parts;
            let chosen = match truth(condition, facts, walked)? {
                true => so,
                false => else_so,
            };
            return value(chosen, facts, walked);
        }
        Node::Negate(part) => match value(part, facts, walked)? {
            Value::Int(is) => Value::Int(is.checked_neg().ok_or(NoValue)?),
            Value::Float(is) => Value::Float(-is),
            Value::Bool(_) | Value::Text(_) => return Err(NoValue),
        },
        Node::Math(operator, sides) => {
            let left = value(&sides[0], facts, walked)?;
            return math(*operator, left, value(&sides[1], facts, walked)?);
        }
        Node::Chars(part) => count(text(part, facts, walked)?.chars().count())?,
        Node::Texts(list) => count(facts.texts_len(*list).ok_or(NoValue)?)?,
        _ => Value::Bool(belongs(node, facts, walked)?),
    };
    Ok(found)
}

/// Whether something is there, or one thing is part of another.
fn belongs<F: Facts + ?Sized>(
    node: &Node,
    facts: &F,
    walked: Option<&str>,
) -> Result<bool, NoValue> {
    match node {
        Node::HasValue(field) => Ok(facts.value(*field).is_some()),
        Node::HasTexts(list) => Ok(facts.texts_len(*list).is_some()),
        Node::HasEntry(map, key) => Ok(facts.entry(*map, key).is_some()),
        Node::Among(part, list) => {
            let part = value(part, facts, walked)?;
            let mut found = false;
            // All are looked at: one that has no value leaves the list without.
            for other in list {
                let other = value(other, facts, walked)?;
                found |= compare(Relation::Equal, part, other)?;
            }
            Ok(found)
        }
        Node::InTexts(part, list) => {
            let part = text(part, facts, walked)?;
            let len = facts.texts_len(*list).ok_or(NoValue)?;
            Ok((0..len).any(|at| facts.text_at(*list, at) == Some(part)))
        }
        Node::InKeys(part, map) => {
            let key = text(part, facts, walked)?;
            match facts.is_map_known(*map) {
                true => Ok(facts.entry(*map, key).is_some()),
                false => Err(NoValue),
            }
        }
        Node::Affix(affix, sides) => {
            let whole = text(&sides[0], facts, walked)?;
            let part = text(&sides[1], facts, walked)?;
            Ok(match affix {
                Affix::Start => whole.starts_with(part),
                Affix::End => whole.ends_with(part),
                Affix::Within => whole.contains(part),
            })
        }
        Node::Matches(part, pattern) => Ok(pattern.is_in(text(part, facts, walked)?)),
        Node::Walk { list, until, body } => {
            let len = facts.texts_len(*list).ok_or(NoValue)?;
            let each = (0..len).map(|at| {
                let walked = facts.text_at(*list, at).ok_or(NoValue)?;
                truth(body, facts, Some(walked))
            });
            absorbed(each, *until)
        }
        _ => Err(NoValue),
    }
}

fn parted<F: Facts + ?Sized>(
    parts: &[Node],
    until: bool,
    facts: &F,
    walked: Option<&str>,
) -> Result<bool, NoValue> {
    absorbed(parts.iter().map(|part| truth(part, facts, walked)), until)
}

/// `until` where any is so, whatever has no value; else no value if any has none.
fn absorbed(
    each: impl Iterator<Item = Result<bool, NoValue>>,
    until: bool,
) -> Result<bool, NoValue> {
    let mut all = Ok(!until);
    for one in each {
        match one {
            Ok(is) if is == until => return Ok(until),
            Ok(_) => {}
            Err(none) => all = Err(none),
        }
    }
    all
}

fn text<'v, F: Facts + ?Sized>(
    node: &'v Node,
    facts: &'v F,
    walked: Option<&'v str>,
) -> Result<&'v str, NoValue> {
    match value(node, facts, walked)? {
        Value::Text(text) => Ok(text),
        _ => Err(NoValue),
    }
}

fn count(of: usize) -> Result<Value<'static>, NoValue> {
    let of = i64::try_from(of).map_err(|_| NoValue)?;
    Ok(Value::Int(of))
}

fn compare(relation: Relation, left: Value<'_>, right: Value<'_>) -> Result<bool, NoValue> {
    let order = match (left, right) {
        (Value::Text(left), Value::Text(right)) => match relation {
            // Their lengths may say it.
            Relation::Equal => return Ok(left == right),
            Relation::NotEqual => return Ok(left != right),
            _ => Some(left.cmp(right)),
        },
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(&right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(&right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(&right),
        (Value::Int(left), Value::Float(right)) => int_to_float(left, right),
        (Value::Float(left), Value::Int(right)) => int_to_float(right, left).map(Ordering::reverse),
        _ => return Err(NoValue),
    };
    match relation {
        Relation::Equal => Ok(order == Some(Ordering::Equal)),
        Relation::NotEqual => Ok(order != Some(Ordering::Equal)),
        Relation::Less => order.map(Ordering::is_lt).ok_or(NoValue),
        Relation::LessOrEqual => order.map(Ordering::is_le).ok_or(NoValue),
        Relation::Greater => order.map(Ordering::is_gt).ok_or(NoValue),
        Relation::GreaterOrEqual => order.map(Ordering::is_ge).ok_or(NoValue),
    }
}

/// As numbers on one line, as the language has it: the int isn't rounded to a
/// float first, which above 2^53 would make different amounts of money equal.
fn int_to_float(int: i64, float: f64) -> Option<Ordering> {
    /// 2^63.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is whole and within the range of i64"
    )]
    let whole = float.trunc() as i64;
    let rest = float - float.trunc();
    Some(int.cmp(&whole).then(0.0_f64.partial_cmp(&rest)?))
}

fn math<'v>(operator: Operator, left: Value<'_>, right: Value<'_>) -> Result<Value<'v>, NoValue> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => {
            let made = match operator {
                Operator::Add => left.checked_add(right),
                Operator::Subtract => left.checked_sub(right),
                Operator::Multiply => left.checked_mul(right),
                Operator::Divide => left.checked_div(right),
                Operator::Remainder => left.checked_rem(right),
            };
            made.map(Value::Int).ok_or(NoValue)
        }
        (Value::Float(left), Value::Float(right)) => match operator {
            Operator::Add => Ok(Value::Float(left + right)),
            Operator::Subtract => Ok(Value::Float(left - right)),
            Operator::Multiply => Ok(Value::Float(left * right)),
            Operator::Divide => Ok(Value::Float(left / right)),
            Operator::Remainder => Err(NoValue),
        },
        _ => Err(NoValue),
    }
}
