//! Conditions against the `cel` crate's interpreter: any well-typed condition has
//! the same answer over any facts.

use super::*;
use cel::{Context, Env, Program};
use std::sync::{Arc, LazyLock};

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

const TEXTS: [&str; 6] = ["", "a", "b", "ab", "gold", "größe"];
/// None is so near to a float of [`FLOATS`] that the interpreter, which rounds
/// ints to floats before it compares them, would call it equal.
const INTS: [i64; 7] = [0, 1, -1, 2, 7, i64::MAX, i64::MIN];
const FLOATS: [f64; 6] = [0.0, 0.5, -1.5, 2.0, 7.0, 1e19];
const KEYS: [&str; 3] = ["a", "gold", "missing"];

/// Choices that a condition is made by; when they are used up, the first of each.
struct Choices<'c>(std::slice::Iter<'c, u8>);

impl Choices<'_> {
    fn of(&mut self, count: usize) -> usize {
        self.0.next().map_or(0, |&byte| usize::from(byte) % count)
    }

    fn one<'o>(&mut self, of: &[&'o str]) -> &'o str {
        of[self.of(of.len())]
    }
}

/// Where a condition stands.
#[derive(Clone, Copy)]
struct Place {
    levels: usize,
    walked: bool,
}

impl Place {
    fn below(self) -> Self {
        Self {
            levels: self.levels - 1,
            ..self
        }
    }
}

fn bool(choices: &mut Choices<'_>, at: Place) -> String {
    if at.levels == 0 {
        return choices.one(&["true", "false", "request.stream"]).to_owned();
    }
    let below = at.below();
    match choices.of(16) {
        0 => choices.one(&["true", "false", "request.stream"]).to_owned(),
        1 | 2 => format!("({} && {})", bool(choices, below), bool(choices, below)),
        3 | 4 => format!("({} || {})", bool(choices, below), bool(choices, below)),
        5 => format!("!{}", bool(choices, below)),
        6 => format!(
            "({} ? {} : {})",
            bool(choices, below),
            bool(choices, below),
            bool(choices, below)
        ),
        7 => relation(choices, below, number, &["==", "!=", "<", "<=", ">", ">="]),
        8 => relation(choices, below, text, &["==", "!=", "<", "<=", ">", ">="]),
        9 => relation(choices, below, bool, &["==", "!="]),
        10 => format!(
            "({} in [{}, {}])",
            number(choices, below),
            number(choices, below),
            number(choices, below)
        ),
        11 => format!(
            "({} in [{}, 'a'])",
            text(choices, below),
            text(choices, below)
        ),
        12 => {
            let of = choices.one(&["request.tags", "principal.groups", "request.metadata"]);
            format!("({} in {of})", text(choices, below))
        }
        13 => choices
            .one(&[
                "has(request.metadata.gold)",
                "has(request.metadata.missing)",
                "has(request.tags)",
                "has(budget.monthly.used)",
                "has(budget['daily-eu'].ratio)",
                "has(request.model)",
            ])
            .to_owned(),
        14 => {
            let function = choices.one(&["startsWith", "endsWith", "contains"]);
            let (whole, part) = (text(choices, below), text(choices, below));
            format!("{whole}.{function}({part})")
        }
        _ if at.walked => relation(choices, below, text, &["=="]),
        _ => {
            let list = choices.one(&["request.tags", "principal.groups"]);
            let walk = choices.one(&["exists", "all"]);
            let within = Place {
                walked: true,
                ..below
            };
            format!("{list}.{walk}(t, {})", bool(choices, within))
        }
    }
}

fn relation(
    choices: &mut Choices<'_>,
    at: Place,
    side: fn(&mut Choices<'_>, Place) -> String,
    relations: &[&str],
) -> String {
    let left = side(choices, at);
    let relation = choices.one(relations);
    format!("({left} {relation} {})", side(choices, at))
}

fn number(choices: &mut Choices<'_>, at: Place) -> String {
    match choices.of(2) {
        0 => int(choices, at),
        _ => float(choices, at),
    }
}

fn int(choices: &mut Choices<'_>, at: Place) -> String {
    match choices.of(if at.levels == 0 { 4 } else { 9 }) {
        0 => INTS[choices.of(INTS.len())].to_string(),
        1 => "request.cost_max".to_owned(),
        2 => "budget.monthly.used".to_owned(),
        3 => "usd(0.25)".to_owned(),
        4 => format!("size({})", text(choices, at.below())),
        5 => format!(
            "size({})",
            choices.one(&["request.tags", "principal.groups"])
        ),
        6 => format!("(-({}))", int(choices, at.below())),
        7 => {
            let so = bool(choices, at.below());
            format!(
                "({so} ? {} : {})",
                int(choices, at.below()),
                int(choices, at.below())
            )
        }
        _ => {
            let operator = choices.one(&["+", "-", "*", "/", "%"]);
            format!(
                "({} {operator} {})",
                int(choices, at.below()),
                int(choices, at.below())
            )
        }
    }
}

fn float(choices: &mut Choices<'_>, at: Place) -> String {
    match choices.of(if at.levels == 0 { 3 } else { 5 }) {
        0 => format!("{:?}", FLOATS[choices.of(FLOATS.len())]),
        1 => "request.temperature".to_owned(),
        2 => "budget['daily-eu'].ratio".to_owned(),
        3 => format!("(-({}))", float(choices, at.below())),
        _ => {
            let operator = choices.one(&["+", "-", "*", "/"]);
            format!(
                "({} {operator} {})",
                float(choices, at.below()),
                float(choices, at.below())
            )
        }
    }
}

fn text(choices: &mut Choices<'_>, at: Place) -> String {
    match choices.of(if at.levels == 0 { 5 } else { 7 }) {
        0 => format!("'{}'", choices.one(&TEXTS)),
        1 => "request.model".to_owned(),
        2 => "model.tier".to_owned(),
        3 => format!("request.metadata.{}", choices.one(&KEYS)),
        4 if at.walked => "t".to_owned(),
        4 => "request['model']".to_owned(),
        5 => format!("request.metadata[{}]", text(choices, at.below())),
        _ => {
            let so = bool(choices, at.below());
            format!(
                "({so} ? {} : {})",
                text(choices, at.below()),
                text(choices, at.below())
            )
        }
    }
}

fn some(fact: impl Strategy<Value = Fact>) -> impl Strategy<Value = Option<Fact>> {
    prop::option::weighted(0.8, fact)
}

fn facts() -> impl Strategy<Value = Known> {
    let text = || prop::sample::select(&TEXTS[..]);
    let int = || prop::sample::select(&INTS[..]).prop_map(Fact::Int);
    let float = || {
        let nan = Just(f64::NAN);
        prop_oneof![4 => prop::sample::select(&FLOATS[..]), 1 => nan].prop_map(Fact::Float)
    };
    let texts = || prop::collection::vec(text(), 0..4).prop_map(Fact::Texts);
    let map = prop::collection::hash_map(text(), text(), 0..4).prop_map(Fact::Map);
    (
        some(text().prop_map(Fact::Text)),
        some(int()),
        some(any::<bool>().prop_map(Fact::Bool)),
        some(float()),
        some(texts()),
        map.prop_map(Some),
        some(text().prop_map(Fact::Text)),
        some(int()),
        some(float()),
        some(texts()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j)| {
            let all = [a, b, c, d, e, f, g, h, i, j].into_iter().zip(0..);
            Known(all.filter_map(|(fact, at)| Some((at, fact?))).collect())
        })
}

/// What the interpreter says; none where it fails.
fn interpreted(text: &str, facts: &Known) -> Option<bool> {
    // The same amount, as the interpreter has no such function.
    let text = text.replace("usd(0.25)", "250000000");
    let program: Program = ENV.compile(&text).unwrap();
    let mut context = Context::with_env(Arc::clone(&ENV));
    for root in ["request", "model", "budget", "principal"] {
        context.add_variable_from_value(root, under(&[root], facts));
    }
    match program.execute(&context) {
        Ok(cel::Value::Bool(is)) => Some(is),
        Ok(other) => panic!("{text} is {other:?}"),
        Err(_) => None,
    }
}

/// The facts whose paths start so, as one map.
fn under(path: &[&str], facts: &Known) -> cel::Value {
    let mut map: HashMap<String, cel::Value> = HashMap::new();
    for (place, (of, _)) in (0..).zip(FIELDS) {
        if !of.starts_with(path) {
            continue;
        }
        let name = of[path.len()];
        if of.len() > path.len() + 1 {
            map.insert(name.to_owned(), under(&of[..=path.len()], facts));
            continue;
        }
        let value = match facts.0.get(&place) {
            None => continue,
            Some(Fact::Bool(is)) => cel::Value::Bool(*is),
            Some(Fact::Int(is)) => cel::Value::Int(*is),
            Some(Fact::Float(is)) => cel::Value::Float(*is),
            Some(Fact::Text(is)) => cel::Value::from(*is),
            Some(Fact::Texts(list)) => cel::Value::from(list.clone()),
            Some(Fact::Map(entries)) => cel::Value::from(entries.clone()),
        };
        map.insert(name.to_owned(), value);
    }
    cel::Value::from(map)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_condition_holds_as_the_interpreter_says(
        choices in prop::collection::vec(any::<u8>(), 0..120),
        facts in facts(),
    ) {
        let text = bool(&mut Choices(choices.iter()), Place { levels: 4, walked: false });
        prop_assume!(text.len() <= EXPRESSION_BYTES_MAX);
        let condition = compiled(&text);
        let expected = interpreted(&text, &facts);
        prop_assert_eq!(condition.holds(&facts).ok(), expected, "{}", text);
    }
}
