//! From the parser's tree to ours: which field a name is, and whether the kinds
//! fit.

use super::fields::path;
use super::tree::{Node, Operator, Relation};
use super::words::written;
use super::{
    DEPTH_MAX, Field, Kind, NODES_MAX, NotACondition, Operand, PATTERNS_BYTES_MAX, Schema,
};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SourceInfo, operators};

/// A condition's tree, and what it asks for.
pub struct Lowered {
    pub tree: Node,
    pub fields: Vec<Field>,
    pub texts: Vec<(Field, Box<str>)>,
    pub keys: Vec<(Field, Box<str>)>,
}

/// A node, and what its value is.
pub struct Typed {
    pub node: Node,
    pub kind: Kind,
}

pub type Result<T> = std::result::Result<T, NotACondition>;

/// Lowers a whole condition.
pub fn lower(expression: &IdedExpr, source: &SourceInfo, schema: &dyn Schema) -> Result<Lowered> {
    let mut lowering = Lowering {
        schema,
        source,
        walked: None,
        depth: 0,
        nodes: 0,
        pattern_bytes: PATTERNS_BYTES_MAX,
        fields: Vec::new(),
        texts: Vec::new(),
        keys: Vec::new(),
    };
    let whole = lowering.lower(expression)?;
    if whole.kind != Kind::Bool {
        return Err(NotACondition::NotTrueOrFalse(whole.kind));
    }
    Ok(Lowered {
        tree: whole.node,
        fields: lowering.fields,
        texts: lowering.texts,
        keys: lowering.keys,
    })
}

/// What is known on the way down.
pub struct Lowering<'l> {
    pub schema: &'l dyn Schema,
    pub source: &'l SourceInfo,
    /// The variable of the walk around.
    pub walked: Option<&'l str>,
    depth: usize,
    nodes: usize,
    /// What patterns may still take.
    pub pattern_bytes: usize,
    pub fields: Vec<Field>,
    texts: Vec<(Field, Box<str>)>,
    keys: Vec<(Field, Box<str>)>,
}

impl<'l> Lowering<'l> {
    pub fn lower(&mut self, expression: &'l IdedExpr) -> Result<Typed> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(NotACondition::Nodes);
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(NotACondition::Depth);
        }
        let typed = match &expression.expr {
            Expr::Literal(value) => literal(value),
            Expr::Ident(_) => self.named(expression),
            Expr::Select(select) if select.test => self.has(select),
            Expr::Select(select) => match path(expression) {
                Some(_) => self.named(expression),
                None => self.entry_of(&select.operand, |_| {
                    Ok(Node::Text(select.field.as_str().into()))
                }),
            },
            Expr::Call(call) => self.call(expression, call),
            Expr::Comprehension(walk) => self.walk(walk),
            Expr::List(_) => Err(NotACondition::Unusable {
                what: "a list by itself",
                instead: "it may stand to the right of in",
            }),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Err(NotACondition::Unusable {
                what: "a map that is written out",
                instead: "ask for fields",
            }),
        };
        self.depth -= 1;
        typed
    }

    /// Lowers a part that must be of a kind.
    pub fn of_kind(
        &mut self,
        expression: &'l IdedExpr,
        kind: Kind,
        (of, takes): (&'static str, &'static str),
    ) -> Result<Node> {
        let typed = self.lower(expression)?;
        if typed.kind == kind {
            return Ok(typed.node);
        }
        let given = operand(expression, &typed);
        Err(NotACondition::Takes { of, takes, given })
    }

    fn call(&mut self, expression: &'l IdedExpr, call: &'l CallExpr) -> Result<Typed> {
        if let Some(target) = &call.target {
            return self.function(&call.func_name, Some(target), &call.args);
        }
        match (call.func_name.as_str(), &call.args[..]) {
            (operators::INDEX, [of, at]) => match path(expression) {
                Some(_) => self.named(expression),
                None => self.entry_of(of, |lowering| {
                    lowering.of_kind(at, Kind::Text, ("a map's [key]", "text"))
                }),
            },
            (operators::LOGICAL_NOT, [part]) => {
                let part = self.of_kind(part, Kind::Bool, ("!", "true or false"))?;
                Ok(Typed::new(Node::Not(Box::new(part)), Kind::Bool))
            }
            (operators::LOGICAL_AND, parts) => {
                let mut all = Vec::new();
                for part in parts {
                    match self.of_kind(part, Kind::Bool, ("&&", "true or false"))? {
                        // Which side comes first makes no difference to any.
                        Node::And(more) => all.extend(more),
                        one => all.push(one),
                    }
                }
                Ok(Typed::new(Node::And(all), Kind::Bool))
            }
            (operators::LOGICAL_OR, parts) => {
                let mut any = Vec::new();
                for part in parts {
                    match self.of_kind(part, Kind::Bool, ("||", "true or false"))? {
                        Node::Or(more) => any.extend(more),
                        one => any.push(one),
                    }
                }
                Ok(Typed::new(Node::Or(any), Kind::Bool))
            }
            (operators::CONDITIONAL, [condition, so, else_so]) => {
                self.choice(condition, so, else_so)
            }
            (operators::NEGATE, [part]) => self.negate(part),
            (operators::IN, [part, of]) => self.belongs(part, of),
            (name, [left, right]) => match (relation(name), operator(name)) {
                (Some(relation), _) => self.compare(relation, left, right),
                (_, Some(operator)) => self.math(operator, left, right),
                _ => self.function(name, None, &call.args),
            },
            (name, args) => self.function(name, None, args),
        }
    }

    fn choice(
        &mut self,
        condition: &'l IdedExpr,
        so: &'l IdedExpr,
        else_so: &'l IdedExpr,
    ) -> Result<Typed> {
        let condition = self.of_kind(condition, Kind::Bool, ("?:", "true or false"))?;
        let typed = self.single(so, "?:")?;
        let other = self.single(else_so, "?:")?;
        if typed.kind != other.kind {
            return Err(NotACondition::Choice {
                so: operand(so, &typed),
                else_so: operand(else_so, &other),
            });
        }
        let parts = Box::new([condition, typed.node, other.node]);
        Ok(Typed::new(Node::Choice(parts), typed.kind))
    }

    /// Lowers a part that must be one value, no list and no map.
    pub fn single(&mut self, expression: &'l IdedExpr, of: &'static str) -> Result<Typed> {
        let typed = self.lower(expression)?;
        match typed.kind {
            Kind::Texts | Kind::Map => Err(NotACondition::Takes {
                of,
                takes: "single values",
                given: operand(expression, &typed),
            }),
            _ => Ok(typed),
        }
    }

    /// Notes what a field of text is compared with.
    pub fn compared(&mut self, one: &Typed, other: &Typed) {
        for (field, text) in [(one, other), (other, one)] {
            if let (Node::Field(field), Node::Text(text)) = (&field.node, &text.node) {
                let pair = (*field, text.clone());
                if !self.texts.contains(&pair) {
                    self.texts.push(pair);
                }
            }
        }
    }

    /// Notes a key that a map is asked for.
    pub fn asks_key(&mut self, map: Field, key: &str) {
        let is_known = |(of, known): &(Field, Box<str>)| *of == map && **known == *key;
        if !self.keys.iter().any(is_known) {
            self.keys.push((map, key.into()));
        }
    }

    fn walk(&mut self, walk: &'l ComprehensionExpr) -> Result<Typed> {
        let Some((until, body)) = walked(walk) else {
            return Err(NotACondition::Unusable {
                what: "map, filter or exists_one",
                instead: "exists and all walk over a list of texts",
            });
        };
        let of = if until { "exists" } else { "all" };
        if self.walked.is_some() {
            return Err(NotACondition::Unusable {
                what: "exists or all within another",
                instead: "in says whether a list has a text",
            });
        }
        let range = self.lower(&walk.iter_range)?;
        let Typed {
            node: Node::Whole(list),
            kind: Kind::Texts,
        } = range
        else {
            return Err(NotACondition::Takes {
                of,
                takes: "a list of texts",
                given: operand(&walk.iter_range, &range),
            });
        };
        self.walked = Some(&walk.iter_var);
        let body = self.of_kind(body, Kind::Bool, (of, "a condition that is true or false"));
        self.walked = None;
        let body = Box::new(body?);
        Ok(Typed::new(Node::Walk { list, until, body }, Kind::Bool))
    }
}

impl Typed {
    pub fn new(node: Node, kind: Kind) -> Self {
        Self { node, kind }
    }
}

/// A part, for messages; it must have been lowered.
pub fn operand(expression: &IdedExpr, typed: &Typed) -> Operand {
    Operand {
        written: written(expression),
        kind: typed.kind,
    }
}

fn literal(value: &LiteralValue) -> Result<Typed> {
    let (node, kind) = match value {
        LiteralValue::Boolean(is) => (Node::Bool(*is.inner()), Kind::Bool),
        LiteralValue::Int(is) => (Node::Int(*is.inner()), Kind::Int),
        LiteralValue::UInt(is) => {
            let is = *is.inner();
            let int = i64::try_from(is).map_err(|_| NotACondition::TooLarge(is))?;
            (Node::Int(int), Kind::Int)
        }
        LiteralValue::Double(is) => (Node::Float(*is.inner()), Kind::Float),
        LiteralValue::String(is) => (Node::Text(is.inner().into()), Kind::Text),
        LiteralValue::Bytes(_) => {
            return Err(NotACondition::Unusable {
                what: "a literal of bytes",
                instead: "write text without the b",
            });
        }
        LiteralValue::Null => {
            return Err(NotACondition::Unusable {
                what: "null",
                instead: "has() says whether a field has a value",
            });
        }
    };
    Ok(Typed::new(node, kind))
}

/// What `exists` and `all` became: whether it ends at the first that is so, and
/// what is asked of each.
fn walked(walk: &ComprehensionExpr) -> Option<(bool, &IdedExpr)> {
    let Expr::Literal(LiteralValue::Boolean(from)) = &walk.accu_init.expr else {
        return None;
    };
    let until = !*from.inner();
    let step = if until {
        operators::LOGICAL_OR
    } else {
        operators::LOGICAL_AND
    };
    match &walk.loop_step.expr {
        Expr::Call(call) if call.func_name == step => match &call.args[..] {
            [
                IdedExpr {
                    expr: Expr::Ident(so_far),
                    ..
                },
                body,
            ] if *so_far == walk.accu_var => Some((until, body)),
            _ => None,
        },
        _ => None,
    }
}

fn relation(name: &str) -> Option<Relation> {
    Some(match name {
        operators::EQUALS => Relation::Equal,
        operators::NOT_EQUALS => Relation::NotEqual,
        operators::LESS => Relation::Less,
        operators::LESS_EQUALS => Relation::LessOrEqual,
        operators::GREATER => Relation::Greater,
        operators::GREATER_EQUALS => Relation::GreaterOrEqual,
        _ => return None,
    })
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}
