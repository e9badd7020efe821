//! Operators and functions: what they take, and what comes of it.

use super::amounts::nanos;
use super::fields::HAS_FORM;
use super::lower::{Lowering, Result, Typed, operand};
use super::pattern::Pattern;
use super::tree::{Affix, Node, Operator, Relation};
use super::{Kind, NotACondition};
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

impl<'l> Lowering<'l> {
    pub fn compare(
        &mut self,
        relation: Relation,
        left: &'l IdedExpr,
        right: &'l IdedExpr,
    ) -> Result<Typed> {
        let one = self.lower(left)?;
        let other = self.lower(right)?;
        if !comparable(one.kind, other.kind) {
            return Err(NotACondition::Incomparable {
                left: operand(left, &one),
                right: operand(right, &other),
            });
        }
        match relation {
            Relation::Equal | Relation::NotEqual => self.compared(&one, &other),
            _ if one.kind == Kind::Bool => {
                return Err(NotACondition::Takes {
                    of: "an order",
                    takes: "numbers or texts",
                    given: operand(left, &one),
                });
            }
            _ => {}
        }
        let sides = Box::new([one.node, other.node]);
        Ok(Typed::new(Node::Compare(relation, sides), Kind::Bool))
    }

    pub fn math(
        &mut self,
        operator: Operator,
        left: &'l IdedExpr,
        right: &'l IdedExpr,
    ) -> Result<Typed> {
        let one = self.lower(left)?;
        let other = self.lower(right)?;
        let (of, takes) = match operator {
            Operator::Add => ("+", "numbers"),
            Operator::Subtract => ("-", "numbers"),
            Operator::Multiply => ("*", "numbers"),
            Operator::Divide => ("/", "numbers"),
            Operator::Remainder => ("%", "ints"),
        };
        for (expression, typed) in [(left, &one), (right, &other)] {
            let taken = match typed.kind {
                Kind::Int => true,
                Kind::Float => operator != Operator::Remainder,
                _ => false,
            };
            if !taken {
                let given = operand(expression, typed);
                return Err(NotACondition::Takes { of, takes, given });
            }
        }
        let kind = one.kind;
        let (int, float) = match (kind, other.kind) {
            (Kind::Int, Kind::Float) => (operand(left, &one), operand(right, &other)),
            (Kind::Float, Kind::Int) => (operand(right, &other), operand(left, &one)),
            _ => {
                let sides = Box::new([one.node, other.node]);
                return Ok(Typed::new(Node::Math(operator, sides), kind));
            }
        };
        Err(NotACondition::Mixed { int, float })
    }

    pub fn negate(&mut self, part: &'l IdedExpr) -> Result<Typed> {
        let typed = self.lower(part)?;
        match typed.kind {
            Kind::Int | Kind::Float => {
                let node = Node::Negate(Box::new(typed.node));
                Ok(Typed::new(node, typed.kind))
            }
            _ => Err(NotACondition::Takes {
                of: "-",
                takes: "numbers",
                given: operand(part, &typed),
            }),
        }
    }

    pub fn belongs(&mut self, part: &'l IdedExpr, of: &'l IdedExpr) -> Result<Typed> {
        if let Expr::List(list) = &of.expr {
            let one = self.single(part, "in")?;
            let mut nodes = Vec::with_capacity(list.elements.len());
            for element in &list.elements {
                let other = self.lower(element)?;
                if !comparable(one.kind, other.kind) {
                    return Err(NotACondition::Incomparable {
                        left: operand(part, &one),
                        right: operand(element, &other),
                    });
                }
                self.compared(&one, &other);
                nodes.push(other.node);
            }
            let node = Node::Among(Box::new(one.node), nodes);
            return Ok(Typed::new(node, Kind::Bool));
        }
        let whole = self.lower(of)?;
        let node = match whole {
            Typed {
                node: Node::Whole(list),
                kind: Kind::Texts,
            } => {
                let part = self.of_kind(part, Kind::Text, ("in a list of texts", "text"))?;
                Node::InTexts(Box::new(part), list)
            }
            Typed {
                node: Node::Whole(map),
                kind: Kind::Map,
            } => {
                let part = self.of_kind(part, Kind::Text, ("in a map", "a key, which is text"))?;
                if let Node::Text(key) = &part {
                    self.asks_key(map, key);
                }
                Node::InKeys(Box::new(part), map)
            }
            whole => {
                return Err(NotACondition::Takes {
                    of: "in",
                    takes: "a list in [], a list of texts or a map to its right",
                    given: operand(of, &whole),
                });
            }
        };
        Ok(Typed::new(node, Kind::Bool))
    }

    /// A function, called on a target or with all that it takes as arguments.
    pub fn function(
        &mut self,
        name: &str,
        target: Option<&'l IdedExpr>,
        args: &'l [IdedExpr],
    ) -> Result<Typed> {
        let form = |of, form| Err(NotACondition::Form { of, form });
        match (name, target, args) {
            ("size", Some(of), []) | ("size", None, [of]) => self.size(of),
            ("size", ..) => form("size", "size(text) or size(list)"),
            ("startsWith", Some(whole), [part]) => {
                self.affix(("startsWith", Affix::Start), whole, part)
            }
            ("startsWith", ..) => form("startsWith", "text.startsWith(text)"),
            ("endsWith", Some(whole), [part]) => self.affix(("endsWith", Affix::End), whole, part),
            ("endsWith", ..) => form("endsWith", "text.endsWith(text)"),
            ("contains", Some(whole), [part]) => {
                self.affix(("contains", Affix::Within), whole, part)
            }
            ("contains", ..) => form("contains", "text.contains(text)"),
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                self.matches(text, pattern)
            }
            ("matches", ..) => form("matches", "text.matches(\"a literal pattern\")"),
            ("usd", None, [amount]) => self.usd(amount),
            ("usd", ..) => form("usd", "usd(5) or usd(0.25)"),
            ("has", ..) => Err(HAS_FORM),
            ("exists", ..) => form("exists", "list.exists(name, condition)"),
            ("all", ..) => form("all", "list.all(name, condition)"),
            _ => Err(NotACondition::NoFunction(name.to_owned())),
        }
    }

    fn size(&mut self, of: &'l IdedExpr) -> Result<Typed> {
        let typed = self.lower(of)?;
        let node = match typed {
            Typed {
                node: Node::Whole(list),
                kind: Kind::Texts,
            } => Node::Texts(list),
            Typed {
                node,
                kind: Kind::Text,
            } => Node::Chars(Box::new(node)),
            typed => {
                return Err(NotACondition::Takes {
                    of: "size",
                    takes: "text or a list of texts",
                    given: operand(of, &typed),
                });
            }
        };
        Ok(Typed::new(node, Kind::Int))
    }

    fn affix(
        &mut self,
        (of, affix): (&'static str, Affix),
        whole: &'l IdedExpr,
        part: &'l IdedExpr,
    ) -> Result<Typed> {
        let whole = self.of_kind(whole, Kind::Text, (of, "text"))?;
        let part = self.of_kind(part, Kind::Text, (of, "text"))?;
        let node = Node::Affix(affix, Box::new([whole, part]));
        Ok(Typed::new(node, Kind::Bool))
    }

    fn matches(&mut self, text: &'l IdedExpr, pattern: &'l IdedExpr) -> Result<Typed> {
        let text = self.of_kind(text, Kind::Text, ("matches", "text"))?;
        let Node::Text(written) = self.of_kind(pattern, Kind::Text, ("matches", "text"))? else {
            return Err(NotACondition::Form {
                of: "matches",
                form: "text.matches(\"a literal pattern\")",
            });
        };
        let pattern = Pattern::compile(&written, self.pattern_bytes).map_err(|wrong| {
            NotACondition::Pattern {
                pattern: written.into(),
                wrong,
            }
        })?;
        self.pattern_bytes = self.pattern_bytes.saturating_sub(pattern.bytes());
        let node = Node::Matches(Box::new(text), pattern);
        Ok(Typed::new(node, Kind::Bool))
    }

    /// Dollars in nano-dollars, from what is written: the parser's double of 0.1
    /// is not 0.1.
    fn usd(&mut self, amount: &'l IdedExpr) -> Result<Typed> {
        const FORM: NotACondition = NotACondition::Form {
            of: "usd",
            form: "usd(5) or usd(0.25), with a literal",
        };
        let (written, negative) = match &amount.expr {
            Expr::Literal(LiteralValue::Int(is)) => {
                (is.inner().unsigned_abs().to_string(), *is.inner() < 0)
            }
            Expr::Literal(LiteralValue::UInt(is)) => (is.inner().to_string(), false),
            Expr::Literal(LiteralValue::Double(is)) => {
                let token = self.token(amount.id).unwrap_or_default();
                // What was found is what was parsed, or the place was wrong.
                if token.parse() != Ok(is.inner().abs()) {
                    return Err(FORM);
                }
                (token, is.inner().is_sign_negative())
            }
            _ => return Err(FORM),
        };
        let nanos = nanos(&written).ok_or(NotACondition::Dollars(written))?;
        let nanos = if negative { -nanos } else { nanos };
        Ok(Typed::new(Node::Int(nanos), Kind::Int))
    }

    /// The text of a part that is one token, without its sign.
    fn token(&self, id: u64) -> Option<String> {
        let (start, stop) = self.source.offset_for(id)?;
        let start = usize::try_from(start).ok()?;
        let stop = usize::try_from(stop).ok()?;
        // Places are those of its first and last byte.
        Some(self.source.source.get(start..=stop)?.to_owned())
    }
}

fn comparable(one: Kind, other: Kind) -> bool {
    match (one, other) {
        (Kind::Texts | Kind::Map, _) => false,
        (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => true,
        (one, other) => one == other,
    }
}
