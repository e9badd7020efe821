//! How parts of a condition are written in messages.

use super::Kind;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use std::fmt::{self, Write as _};

/// What is shown of a part: enough to find it by.
const WRITTEN_CHARS_MAX: usize = 60;

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int => "an int",
            Self::Float => "a double",
            Self::Text => "text",
            Self::Texts => "a list of texts",
            Self::Map => "a map of texts",
        })
    }
}

/// A path as it would be written: `budget["monthly-eu"].used`.
pub fn dotted<'p>(parts: impl IntoIterator<Item = &'p str>) -> String {
    let mut out = String::new();
    for part in parts {
        let plain = part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        // Writing to a string never fails, here and below.
        let _ = match (plain, out.is_empty()) {
            (true, true) => write!(out, "{part}"),
            (true, false) => write!(out, ".{part}"),
            // A name that starts with a dot is the only other that can be first.
            (false, true) => write!(out, "{part}"),
            (false, false) => write!(out, "[{part:?}]"),
        };
    }
    out
}

/// A part, shortened where it is long. Only for parts that were lowered, as it
/// goes as deep as they do.
pub fn written(expression: &IdedExpr) -> String {
    let mut out = String::new();
    write(expression, &mut out);
    match out.char_indices().nth(WRITTEN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &out[..at]),
        None => out,
    }
}

fn write(expression: &IdedExpr, out: &mut String) {
    match &expression.expr {
        Expr::Literal(literal) => write_literal(literal, out),
        Expr::Ident(name) => out.push_str(name),
        Expr::Select(select) => {
            out.push_str(if select.test { "has(" } else { "" });
            write(&select.operand, out);
            out.push('.');
            out.push_str(&select.field);
            out.push_str(if select.test { ")" } else { "" });
        }
        Expr::List(list) => {
            out.push('[');
            write_all(&list.elements, ", ", out);
            out.push(']');
        }
        Expr::Call(call) => write_call(call, out),
        Expr::Comprehension(walk) => {
            write(&walk.iter_range, out);
            out.push_str(".exists/all(");
            out.push_str(&walk.iter_var);
            out.push_str(", …)");
        }
        Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => out.push('…'),
    }
}

fn write_call(call: &CallExpr, out: &mut String) {
    let infix = infix(&call.func_name);
    match (call.func_name.as_str(), &call.target, &call.args[..]) {
        (operators::INDEX, None, [of, at]) => {
            write(of, out);
            out.push('[');
            write(at, out);
            out.push(']');
        }
        (operators::LOGICAL_NOT, None, args) => {
            out.push('!');
            write_all(args, "", out);
        }
        (operators::NEGATE, None, args) => {
            out.push('-');
            write_all(args, "", out);
        }
        (operators::CONDITIONAL, None, [condition, so, else_so]) => {
            write(condition, out);
            out.push_str(" ? ");
            write(so, out);
            out.push_str(" : ");
            write(else_so, out);
        }
        (_, None, args) if infix.is_some() => {
            let between = format!(" {} ", infix.unwrap_or_default());
            write_all(args, &between, out);
        }
        (name, target, args) => {
            if let Some(target) = target {
                write(target, out);
                out.push('.');
            }
            out.push_str(name);
            out.push('(');
            write_all(args, ", ", out);
            out.push(')');
        }
    }
}

fn infix(name: &str) -> Option<&str> {
    let sign = name
        .strip_prefix('_')
        .and_then(|rest| rest.strip_suffix('_'));
    match name {
        operators::IN => Some("in"),
        _ => sign.filter(|sign| !sign.starts_with(['[', '?'])),
    }
}

fn write_all(all: &[IdedExpr], between: &str, out: &mut String) {
    for (at, one) in all.iter().enumerate() {
        if at > 0 {
            out.push_str(between);
        }
        write(one, out);
    }
}

fn write_literal(literal: &LiteralValue, out: &mut String) {
    let _ = match literal {
        LiteralValue::Boolean(is) => write!(out, "{}", is.inner()),
        LiteralValue::Int(is) => write!(out, "{}", is.inner()),
        LiteralValue::UInt(is) => write!(out, "{}u", is.inner()),
        LiteralValue::Double(is) => write!(out, "{:?}", is.inner()),
        LiteralValue::String(is) => write!(out, "{:?}", is.inner()),
        LiteralValue::Bytes(_) => write!(out, "b\"…\""),
        LiteralValue::Null => write!(out, "null"),
    };
}
