//! What can be wrong with a condition, and how it is said.

use super::words::dotted;
use super::{DEPTH_MAX, Kind, NODES_MAX, NoField, PATTERNS_BYTES_MAX};
use crate::expressions::EXPRESSION_BYTES_MAX;

/// The functions, as messages list them.
pub const FUNCTIONS: &str =
    "has, size, startsWith, endsWith, contains, matches, exists, all and usd";

/// The most names of fields that a message lists.
const KNOWN_SHOWN_MAX: usize = 20;

/// Why a text is no condition over these fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACondition {
    #[error("must have 1 to {EXPRESSION_BYTES_MAX} bytes")]
    Length,
    #[error("is not an expression: {0}")]
    Syntax(String),
    #[error("nests deeper than {DEPTH_MAX} levels")]
    Depth,
    #[error("has more than {NODES_MAX} parts")]
    Nodes,
    #[error("must be true or false (is {0})")]
    NotTrueOrFalse(Kind),
    /// The path as it was written.
    #[error("{}", no_field(path, missing))]
    NoField { path: Vec<String>, missing: NoField },
    /// A part of what has no parts.
    #[error("{of} is {kind} and has no {name}")]
    NoPart {
        of: String,
        kind: Kind,
        name: String,
    },
    #[error(
        "{} is {} and can't be compared with {}, {}",
        .left.written, .left.kind, .right.written, .right.kind
    )]
    Incomparable { left: Operand, right: Operand },
    #[error("{}", mixed(int, float))]
    Mixed { int: Operand, float: Operand },
    /// An operator or a function on what it doesn't take.
    #[error("{of} takes {takes}; {} is {}", .given.written, .given.kind)]
    Takes {
        of: &'static str,
        takes: &'static str,
        given: Operand,
    },
    #[error(
        "both sides of ?: must be of one kind: {} is {}, {} is {}",
        .so.written, .so.kind, .else_so.written, .else_so.kind
    )]
    Choice { so: Operand, else_so: Operand },
    #[error("there is no function {0} here; a condition may use {FUNCTIONS}")]
    NoFunction(String),
    #[error("{of} is written {form}")]
    Form {
        of: &'static str,
        form: &'static str,
    },
    #[error("{what} can't be used in a condition; {instead}")]
    Unusable {
        what: &'static str,
        instead: &'static str,
    },
    #[error("{0} is more than an int may be, {max}", max = i64::MAX)]
    TooLarge(u64),
    #[error(
        "usd takes whole nano-dollars, at most 9223372036.854775807 dollars; {0} is finer or more"
    )]
    Dollars(String),
    #[error("matches {pattern:?}: {wrong}")]
    Pattern { pattern: String, wrong: NotAPattern },
}

/// A part of a condition, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    pub written: String,
    pub kind: Kind,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPattern {
    #[error("is not a pattern: {0}")]
    Syntax(String),
    /// Where any alphabet's words end, an automaton can't tell.
    #[error("\\b and \\B are between letters of ASCII only, and must say so: (?-u:\\b)")]
    Boundary,
    #[error(
        "needs more than the {PATTERNS_BYTES_MAX} bytes of memory that a condition's patterns may \
         take: repeat less, or name fewer letters than \\w does"
    )]
    Size,
}

fn no_field(path: &[String], missing: &NoField) -> String {
    let at = missing.at.min(path.len());
    let before = || path[..at].iter().map(String::as_str);
    let known: Vec<&str> = missing.known.iter().map(String::as_str).collect();
    let Some(name) = path.get(at) else {
        let path = dotted(before());
        return format!("{path} is not a field by itself; it has {}", listed(&known));
    };
    let with = |name| dotted(before().chain([name]));
    let is = with(name);
    match nearest(name, &known) {
        Some(near) => format!("there is no {is}; did you mean {}?", with(near)),
        None if at == 0 => format!("there is no {is}; a condition may use {}", listed(&known)),
        None => format!(
            "there is no {is}; {} has {}",
            dotted(before()),
            listed(&known)
        ),
    }
}

fn listed(known: &[&str]) -> String {
    match known {
        [] => "nothing".to_owned(),
        known if known.len() > KNOWN_SHOWN_MAX => {
            format!("{}, …", known[..KNOWN_SHOWN_MAX].join(", "))
        }
        known => known.join(", "),
    }
}

/// The name that was likely meant.
fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    /// Longer names are no slips of a pen, and comparing costs their product.
    const NAME_BYTES_MAX: usize = 64;
    if written.len() > NAME_BYTES_MAX {
        return None;
    }
    // A third of the letters may be wrong: more is another word.
    let most = (written.chars().count() / 3).max(1);
    known
        .iter()
        .filter(|name| name.len() <= 2 * NAME_BYTES_MAX)
        .map(|name| (strsim::damerau_levenshtein(written, name), *name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn mixed(int: &Operand, float: &Operand) -> String {
    let (int, float) = (&int.written, &float.written);
    let said = format!("{int} is an int and {float} a double, and arithmetic doesn't mix them");
    // A literal int is digits, perhaps after a sign.
    match int.parse::<i64>() {
        Ok(_) => format!("{said}: write {int}.0"),
        Err(_) => said,
    }
}
