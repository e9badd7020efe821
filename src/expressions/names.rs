//! Which names an expression leaves to its surroundings, and how deep it walks
//! over lists within lists.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};

/// What an expression asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked<'e> {
    /// Variables that it doesn't bind itself, in order.
    pub free: Vec<&'e str>,
    /// Walks within walks, at most.
    pub walks_depth: usize,
}

/// Looks at a whole expression; how deep that goes is bounded by the parser.
pub fn asked(expression: &IdedExpr) -> Asked<'_> {
    let mut asked = Asked::default();
    look(expression, &mut Vec::new(), 0, &mut asked);
    asked
}

fn look<'e>(at: &'e IdedExpr, bound: &mut Vec<&'e str>, walks: usize, asked: &mut Asked<'e>) {
    match &at.expr {
        Expr::Unspecified | Expr::Literal(_) => {}
        Expr::Ident(name) => {
            // Macros name their own variables so.
            let own = name.starts_with('@') || bound.contains(&name.as_str());
            if !own && !asked.free.contains(&name.as_str()) {
                asked.free.push(name);
            }
        }
        Expr::Call(call) => {
            let target = call.target.iter().map(|target| &**target);
            for part in target.chain(&call.args) {
                look(part, bound, walks, asked);
            }
        }
        Expr::List(list) => {
            for element in &list.elements {
                look(element, bound, walks, asked);
            }
        }
        Expr::Select(select) => look(&select.operand, bound, walks, asked),
        Expr::Map(map) => entries(map.entries.iter().map(|e| &e.expr), bound, walks, asked),
        Expr::Struct(of) => entries(of.entries.iter().map(|e| &e.expr), bound, walks, asked),
        Expr::Comprehension(walk) => {
            asked.walks_depth = asked.walks_depth.max(walks + 1);
            look(&walk.iter_range, bound, walks, asked);
            look(&walk.accu_init, bound, walks, asked);
            let before = bound.len();
            bound.push(&walk.accu_var);
            bound.push(&walk.iter_var);
            bound.extend(walk.iter_var2.as_deref());
            for part in [&walk.loop_cond, &walk.loop_step, &walk.result] {
                look(part, bound, walks + 1, asked);
            }
            bound.truncate(before);
        }
    }
}

fn entries<'e>(
    all: impl Iterator<Item = &'e EntryExpr>,
    bound: &mut Vec<&'e str>,
    walks: usize,
    asked: &mut Asked<'e>,
) {
    for entry in all {
        match entry {
            EntryExpr::StructField(field) => look(&field.value, bound, walks, asked),
            EntryExpr::MapEntry(pair) => {
                look(&pair.key, bound, walks, asked);
                look(&pair.value, bound, walks, asked);
            }
        }
    }
}
