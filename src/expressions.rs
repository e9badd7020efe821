//! Expressions in CEL, compiled once and evaluated for each call.
//!
//! The language is Google's Common Expression Language
//! (<https://github.com/google/cel-spec>), with its extension for strings.
//!
//! Always holds: an expression is short, nests little and names only what it may,
//! or it doesn't compile; evaluating one has no effects. What goes wrong is said
//! without the values that it went wrong with: they may be personal.

pub mod condition;
mod names;

use cel::{Context, Env, Program, extensions};
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The longest expression.
pub const EXPRESSION_BYTES_MAX: usize = 1024;

/// How deep an expression may walk over lists within lists: each level costs the
/// length of what it is given once more.
const WALKS_DEPTH_MAX: usize = 2;

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // Fails only where it is there already.
    let _ = env.add_extension(extensions::strings);
    Arc::new(env)
});

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    program: Arc<Program>,
}

/// What expressions are evaluated by: made once for all that a call needs.
pub struct Facts(Context<'static, 'static>);

/// Why a text is no expression that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnExpression {
    #[error("must have 1 to {EXPRESSION_BYTES_MAX} bytes")]
    Length,
    #[error("is not an expression: {0}")]
    Syntax(String),
    #[error("there is no {name} here; an expression may use {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error(
        "walks too deep: map, filter, exists and all may stand within one another {WALKS_DEPTH_MAX} \
         deep"
    )]
    Walks,
}

/// It has no value for what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has no value here")]
pub struct NoValue;

impl Expression {
    /// Compiles an expression that may name these variables.
    ///
    /// # Errors
    /// See [`NotAnExpression`].
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, NotAnExpression> {
        if text.is_empty() || text.len() > EXPRESSION_BYTES_MAX {
            return Err(NotAnExpression::Length);
        }
        let program = ENV.compile(text).map_err(|errors| {
            let first = errors.errors.first();
            NotAnExpression::Syntax(syntax(first.map_or("", |error| &error.msg)))
        })?;
        let asked = names::asked(program.expression());
        if asked.walks_depth > WALKS_DEPTH_MAX {
            return Err(NotAnExpression::Walks);
        }
        let mut free = asked.free.into_iter();
        let unknown = free.find(|name| !variables.contains(name));
        let unknown = unknown.map(str::to_owned);
        match unknown {
            Some(name) => Err(NotAnExpression::Unknown {
                name,
                known: variables.iter().map(|name| (*name).to_owned()).collect(),
            }),
            None => Ok(Self {
                text: text.into(),
                program: Arc::new(program),
            }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its value by these facts.
    ///
    /// # Errors
    /// Something that it names isn't there, or is of another type.
    pub fn evaluate(&self, facts: &Facts) -> Result<Value, NoValue> {
        let value = self.program.execute(&facts.0).map_err(|_| NoValue)?;
        value.json().map_err(|_| NoValue)
    }
}

/// What the parser says, without its own words for all that could have stood there.
fn syntax(said: &str) -> String {
    // Said within its own report of where.
    if said.contains("Recursion limit") {
        return "nests too deep".to_owned();
    }
    let said = said.split_once(" expecting").map_or(said, |(said, _)| said);
    said.to_owned()
}

impl Facts {
    /// A variable, and what it is.
    ///
    /// # Errors
    /// It can't be said in the language.
    pub fn of(name: &str, value: &Value) -> Result<Self, NoValue> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        let value = cel::to_value(value).map_err(|_| NoValue)?;
        context.add_variable_from_value(name, value);
        Ok(Self(context))
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn value(text: &str, claims: &Value) -> Result<Value, NoValue> {
        let expression = Expression::compile(text, &["claims"]).unwrap();
        expression.evaluate(&Facts::of("claims", claims)?)
    }

    #[test]
    fn expressions_have_the_values_that_the_language_gives_them() {
        let claims = json!({
            "org": "acme", "sub": "auth0|ada", "groups": ["eng", "llm:gold"], "n": 3,
            "realm": {"name": "x"},
        });
        for (text, expected) in [
            ("claims.org", Ok(json!("acme"))),
            ("claims.realm.name", Ok(json!("x"))),
            ("claims['org']", Ok(json!("acme"))),
            ("claims.sub.split('|')[1]", Ok(json!("ada"))),
            (
                "claims.groups.filter(g, g.startsWith('llm:'))[0]",
                Ok(json!("llm:gold")),
            ),
            (
                "claims.groups.all(a, claims.groups.exists(b, a == b)) ? 'y' : 'n'",
                Ok(json!("y")),
            ),
            ("claims.n > 2 ? 'many' : 'few'", Ok(json!("many"))),
            ("has(claims.team) ? claims.team : 'none'", Ok(json!("none"))),
            ("claims.team", Err(NoValue)),
            ("claims.org + 1", Err(NoValue)),
            ("claims.groups[7]", Err(NoValue)),
            ("1 / 0", Err(NoValue)),
        ] {
            assert_eq!(value(text, &claims), expected, "{text}");
        }
    }

    #[test]
    fn what_cant_be_used_is_said_when_it_is_compiled() {
        let said = |text: &str| {
            let compiled = Expression::compile(text, &["claims"]);
            compiled.map_err(|error| error.to_string()).unwrap_err()
        };
        assert!(
            said("claims.").starts_with("is not an expression: "),
            "{}",
            said("claims.")
        );
        assert_eq!(
            said("claim.org"),
            "there is no claim here; an expression may use claims"
        );
        assert!(said("claims.a.map(g, g) == g").starts_with("there is no g here"));
        assert_eq!(said(""), "must have 1 to 1024 bytes");
        assert_eq!(said(&"1+".repeat(600)), "must have 1 to 1024 bytes");
        let walks = "claims.a.map(x, claims.a.map(y, claims.a.map(z, 1)))";
        assert!(said(walks).starts_with("walks too deep"));
        let deep = format!("{}1{}", "(".repeat(400), ")".repeat(400));
        assert_eq!(said(&deep), "is not an expression: nests too deep");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9 .()\\[\\]'\"|&?:<>=!+*/%-]{0,60}") {
            if let Ok(expression) = Expression::compile(&text, &["claims"]) {
                let facts = Facts::of("claims", &json!({"a": [1, "b"]})).unwrap();
                let _ = expression.evaluate(&facts);
            }
        }
    }
}
