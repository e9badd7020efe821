//! What conditions are, what they hold, and what is said of texts that are none.

mod oracle;

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// The fields of these tests, by their places.
const FIELDS: [(&[&str], Kind); 10] = [
    (&["request", "model"], Kind::Text),
    (&["request", "cost_max"], Kind::Int),
    (&["request", "stream"], Kind::Bool),
    (&["request", "temperature"], Kind::Float),
    (&["request", "tags"], Kind::Texts),
    (&["request", "metadata"], Kind::Map),
    (&["model", "tier"], Kind::Text),
    (&["budget", "monthly", "used"], Kind::Int),
    (&["budget", "daily-eu", "ratio"], Kind::Float),
    (&["principal", "groups"], Kind::Texts),
];

struct Fields;

impl Schema for Fields {
    fn field(&self, path: &[&str]) -> Result<(Field, Kind), NoField> {
        let places = 0..;
        let mut at = 0;
        for (place, (known, kind)) in places.zip(FIELDS) {
            if *known == *path {
                return Ok((Field(place), kind));
            }
            let same = known.iter().zip(path).take_while(|(a, b)| a == b).count();
            at = at.max(same);
        }
        let mut known = Vec::new();
        for (of, _) in FIELDS {
            if of.len() > at && of[..at] == path[..at] && !known.contains(&of[at].to_owned()) {
                known.push(of[at].to_owned());
            }
        }
        Err(NoField { at, known })
    }
}

#[derive(Debug, Clone)]
enum Fact {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'static str),
    Texts(Vec<&'static str>),
    Map(HashMap<&'static str, &'static str>),
}

/// By the places of [`FIELDS`].
#[derive(Debug, Clone, Default)]
struct Known(HashMap<u32, Fact>);

impl Facts for Known {
    fn value(&self, field: Field) -> Option<Value<'_>> {
        Some(match self.0.get(&field.0)? {
            Fact::Bool(is) => Value::Bool(*is),
            Fact::Int(is) => Value::Int(*is),
            Fact::Float(is) => Value::Float(*is),
            Fact::Text(is) => Value::Text(is),
            Fact::Texts(_) | Fact::Map(_) => return None,
        })
    }

    fn entry(&self, map: Field, key: &str) -> Option<&str> {
        match self.0.get(&map.0)? {
            Fact::Map(map) => map.get(key).copied(),
            _ => None,
        }
    }

    fn texts_len(&self, list: Field) -> Option<usize> {
        match self.0.get(&list.0)? {
            Fact::Texts(list) => Some(list.len()),
            _ => None,
        }
    }

    fn text_at(&self, list: Field, at: usize) -> Option<&str> {
        match self.0.get(&list.0)? {
            Fact::Texts(list) => list.get(at).copied(),
            _ => None,
        }
    }
}

/// `budget.monthly.used` and `principal.groups` have no value.
fn known() -> Known {
    Known(HashMap::from([
        (0, Fact::Text("gpt-4.1")),
        (1, Fact::Int(100_000_000)),
        (2, Fact::Bool(true)),
        (3, Fact::Float(0.5)),
        (4, Fact::Texts(vec!["a", "bb", "llm:gold"])),
        (
            5,
            Fact::Map(HashMap::from([("team", "blue"), ("x-id", "7")])),
        ),
        (6, Fact::Text("größe")),
        (8, Fact::Float(f64::NAN)),
    ]))
}

fn compiled(text: &str) -> Condition {
    Condition::compile(text, &Fields).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn said(text: &str) -> String {
    match Condition::compile(text, &Fields) {
        Ok(_) => panic!("{text} compiles"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn conditions_hold_as_the_language_has_it() {
    let facts = known();
    for (text, expected) in [
        ("true", Ok(true)),
        ("request.model == 'gpt-4.1'", Ok(true)),
        ("request['model'] != 'gpt-4.1'", Ok(false)),
        ("request.stream && !false", Ok(true)),
        // Amounts.
        ("request.cost_max == usd(0.1)", Ok(true)),
        ("request.cost_max < usd(0.100000001)", Ok(true)),
        ("request.cost_max >= usd(1)", Ok(false)),
        ("usd(-0.25) == -250000000", Ok(true)),
        ("usd(1000000000.000000001) == 1000000000000000001", Ok(true)),
        ("'é' != '' && usd(0.3) == 300000000", Ok(true)),
        ("usd(1e-9) == 1 && usd(2u) == 2000000000", Ok(true)),
        // Numbers, and one kind against the other.
        ("request.temperature > 0", Ok(true)),
        ("1 == 1.0 && 1u == 1 && 2.5 > 2", Ok(true)),
        ("9007199254740993 == 9007199254740992.0", Ok(false)),
        ("9223372036854775807 < 9223372036854775808.0", Ok(true)),
        (
            "-9223372036854775807 - 1 == -9223372036854775808.0",
            Ok(true),
        ),
        ("-3 < -2.5 && -2 > -2.5 && -2.5 < -2", Ok(true)),
        ("7 / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1", Ok(true)),
        ("7.0 / 2.0 == 3.5 && 1.0 / 0.0 > 1e300", Ok(true)),
        ("-request.cost_max == usd(-0.1)", Ok(true)),
        ("9223372036854775807 + 1 > 0", Err(NoValue)),
        ("-9223372036854775807 - 2 < 0", Err(NoValue)),
        ("-(-9223372036854775808) > 0", Err(NoValue)),
        ("9223372036854775807 * 2 > 0", Err(NoValue)),
        ("-9223372036854775808 / -1 > 0", Err(NoValue)),
        ("1 / 0 == 1 || 1 % 0 == 1", Err(NoValue)),
        ("budget['daily-eu'].ratio == 1.0", Ok(false)),
        (
            "budget['daily-eu'].ratio != budget['daily-eu'].ratio",
            Ok(true),
        ),
        ("budget['daily-eu'].ratio < 1", Err(NoValue)),
        // Without a value.
        ("budget.monthly.used > 0", Err(NoValue)),
        ("budget.monthly.used > 0 && false", Ok(false)),
        ("false && budget.monthly.used > 0", Ok(false)),
        ("budget.monthly.used > 0 || true", Ok(true)),
        ("budget.monthly.used > 0 && true", Err(NoValue)),
        ("false || budget.monthly.used > 0 || false", Err(NoValue)),
        ("!(budget.monthly.used > 0)", Err(NoValue)),
        ("has(budget.monthly.used)", Ok(false)),
        (
            "has(budget.monthly.used) && budget.monthly.used > 5",
            Ok(false),
        ),
        ("has(request.model) && has(request.tags)", Ok(true)),
        ("has(principal.groups)", Ok(false)),
        // Choices.
        ("(request.stream ? 1 : 1 / 0) == 1", Ok(true)),
        ("budget.monthly.used > 0 ? true : true", Err(NoValue)),
        // Lists and maps.
        ("request.model in ['a', 'gpt-4.1']", Ok(true)),
        ("request.cost_max in [1, 1e8]", Ok(true)),
        ("request.model in []", Ok(false)),
        ("1 in [1, budget.monthly.used]", Err(NoValue)),
        ("'bb' in request.tags", Ok(true)),
        ("'b' in request.tags", Ok(false)),
        ("'b' in principal.groups", Err(NoValue)),
        ("'team' in request.metadata", Ok(true)),
        ("request.metadata.team == 'blue'", Ok(true)),
        ("request.metadata['x-id'] == '7'", Ok(true)),
        (
            "request.metadata[request.stream ? 'team' : 'x'] == 'blue'",
            Ok(true),
        ),
        (
            "has(request.metadata.team) && !has(request.metadata.cost)",
            Ok(true),
        ),
        ("request.metadata.cost == ''", Err(NoValue)),
        (
            "size(request.tags) == 3 && request.tags.size() > 2",
            Ok(true),
        ),
        ("size(principal.groups) == 0", Err(NoValue)),
        ("size(model.tier) == 5 && model.tier.size() == 5", Ok(true)),
        // Texts.
        ("request.model.startsWith('gpt')", Ok(true)),
        (
            "request.model.endsWith('.1') && request.model.contains('-')",
            Ok(true),
        ),
        (
            "'gpt-4' < request.model && request.model < 'gpt-5'",
            Ok(true),
        ),
        ("request.model.matches('^gpt-[0-9]')", Ok(true)),
        ("matches(request.model, 'pt')", Ok(true)),
        ("request.model.matches('^pt')", Ok(false)),
        (
            "model.tier.matches('^\\\\w+$') && model.tier.matches('GRÖ')",
            Ok(false),
        ),
        ("model.tier.matches('(?i)^GRÖ')", Ok(true)),
        ("request.model.matches(r'(?-u:\\b)4')", Ok(true)),
        ("'x'.matches('')", Ok(true)),
        // Walks.
        ("request.tags.exists(t, t.startsWith('llm:'))", Ok(true)),
        ("request.tags.all(t, size(t) < 3)", Ok(false)),
        ("request.tags.all(t, t in request.tags)", Ok(true)),
        ("request.tags.exists(request, request == 'a')", Ok(true)),
        ("request.tags.exists(t, t in request.metadata)", Ok(false)),
        ("principal.groups.exists(g, true)", Err(NoValue)),
        (
            "request.tags.exists(t, request.metadata[t] == '' || t == 'bb')",
            Ok(true),
        ),
        (
            "request.tags.all(t, request.metadata[t] == '')",
            Err(NoValue),
        ),
        (
            "request.tags.all(t, request.metadata[t] == '' && t == 'a')",
            Ok(false),
        ),
    ] {
        assert_eq!(compiled(text).holds(&facts), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_when_it_is_compiled() {
    for (text, expected) in [
        ("", "must have 1 to 1024 bytes"),
        ("request.cost_max", "must be true or false (is an int)"),
        ("request.tags", "must be true or false (is a list of texts)"),
        (
            "request.cost_mx > 1",
            "there is no request.cost_mx; did you mean request.cost_max?",
        ),
        (
            "requst.model == ''",
            "there is no requst; did you mean request?",
        ),
        (
            "x",
            "there is no x; a condition may use request, model, budget, principal",
        ),
        (
            "budget.monthli.used > 0",
            "there is no budget.monthli; did you mean budget.monthly?",
        ),
        (
            "budget['daily-us'].ratio > 0",
            "there is no budget[\"daily-us\"]; did you mean budget[\"daily-eu\"]?",
        ),
        (
            "budget.weekly.used > 0",
            "there is no budget.weekly; budget has monthly, daily-eu",
        ),
        (
            "budget.monthly > 0",
            "budget.monthly is not a field by itself; it has used",
        ),
        (
            "request.model.name == ''",
            "request.model is text and has no name",
        ),
        (
            "request.metadata.team.x == ''",
            "request.metadata.team is text and has no x",
        ),
        (
            "request.tags.exists(t, t.x == '')",
            "t is text and has no x",
        ),
        (
            "model.tier == 3",
            "model.tier is text and can't be compared with 3, an int",
        ),
        (
            "model.tier in ['a', 3]",
            "model.tier is text and can't be compared with 3, an int",
        ),
        (
            "request.tags == ['a']",
            "a list by itself can't be used in a condition; it may stand to the right of in",
        ),
        (
            "request.tags == request.tags",
            "request.tags is a list of texts and can't be compared with request.tags, a list of \
             texts",
        ),
        (
            "request.stream < true",
            "an order takes numbers or texts; request.stream is true or false",
        ),
        (
            "request.temperature + 5 > 1.0",
            "5 is an int and request.temperature a double, and arithmetic doesn't mix them: write \
             5.0",
        ),
        (
            "request.cost_max * 1.5 > 1.0",
            "request.cost_max is an int and 1.5 a double, and arithmetic doesn't mix them",
        ),
        ("1.0 % 2.0 == 0.0", "% takes ints; 1.0 is a double"),
        (
            "request.model + 'x' == ''",
            "+ takes numbers; request.model is text",
        ),
        (
            "-request.model == ''",
            "- takes numbers; request.model is text",
        ),
        (
            "!request.cost_max",
            "! takes true or false; request.cost_max is an int",
        ),
        (
            "request.stream && size(request.tags)",
            "&& takes true or false; size(request.tags) is an int",
        ),
        (
            "(request.stream ? 1 : 'a') == 1",
            "both sides of ?: must be of one kind: 1 is an int, \"a\" is text",
        ),
        ("1 ? true : false", "?: takes true or false; 1 is an int"),
        (
            "request.stream ? request.tags : request.tags",
            "?: takes single values; request.tags is a list of texts",
        ),
        (
            "request.tags in ['a']",
            "in takes single values; request.tags is a list of texts",
        ),
        (
            "'a' in request.model",
            "in takes a list in [], a list of texts or a map to its right; request.model is text",
        ),
        (
            "1 in request.tags",
            "in a list of texts takes text; 1 is an int",
        ),
        (
            "request.tags[0] == 'a'",
            "[…] takes a map, and names of fields as they are written; request.tags is a list of \
             texts",
        ),
        (
            "request.tags.map(t, t) == 1",
            "map, filter or exists_one can't be used in a condition; exists and all walk over a \
             list of texts",
        ),
        (
            "request.tags.exists(a, request.tags.exists(b, a == b))",
            "exists or all within another can't be used in a condition; in says whether a list has \
             a text",
        ),
        (
            "request.model.exists(a, true)",
            "exists takes a list of texts; request.model is text",
        ),
        (
            "request.tags.all(a, a)",
            "all takes a condition that is true or false; a is text",
        ),
        (
            "request.model == null",
            "null can't be used in a condition; has() says whether a field has a value",
        ),
        (
            "has(request.metadata)",
            "has() of a whole map can't be used in a condition; it is always there: ask for a key \
             of it",
        ),
        (
            "has(request.modl)",
            "there is no request.modl; did you mean request.model?",
        ),
        (
            "has(request.metadata['x-id'])",
            "has is written has(a.field) or has(map.key); for other keys, \"a-key\" in map",
        ),
        (
            "now() > 1",
            "there is no function now here; a condition may use has, size, startsWith, endsWith, \
             contains, matches, exists, all and usd",
        ),
        ("size() == 1", "size is written size(text) or size(list)"),
        (
            "size(request.cost_max) == 1",
            "size takes text or a list of texts; request.cost_max is an int",
        ),
        (
            "usd(request.cost_max) > 1",
            "usd is written usd(5) or usd(0.25), with a literal",
        ),
        (
            "usd(0.0000000001) > 1",
            "usd takes whole nano-dollars, at most 9223372036.854775807 dollars; 0.0000000001 is \
             finer or more",
        ),
        (
            "request.model.matches(model.tier)",
            "matches is written text.matches(\"a literal pattern\")",
        ),
        (
            "request.model.matches('(')",
            "matches \"(\": is not a pattern: unclosed group",
        ),
        (
            "18446744073709551615u > 1",
            "18446744073709551615 is more than an int may be, 9223372036854775807",
        ),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
    for text in ["request.", "1 +", "a b"] {
        assert!(
            said(text).starts_with("is not an expression: "),
            "{}",
            said(text)
        );
    }
}

#[test]
fn a_pattern_is_small_or_refused() {
    for pattern in [
        "(a|b)*a(a|b){40}",
        "(\\\\w{100}){100}",
        "a{1000}{1000}{1000}",
    ] {
        let said = said(&format!("request.model.matches('{pattern}')"));
        assert!(
            said.contains("more than the 1048576 bytes"),
            "{pattern}: {said}"
        );
    }
    // Together they may take no more than one might.
    let one = "request.model.matches(r'\\w\\w\\w\\w\\w\\w')";
    assert!(Condition::compile(one, &Fields).is_ok());
    let many = [one; 20].join(" || ");
    assert!(said(&many).contains("more than the 1048576 bytes"));
    assert_eq!(
        said("request.model.matches(r'\\bgpt\\b')"),
        r#"matches "\\bgpt\\b": \b and \B are between letters of ASCII only, and must say so: (?-u:\b)"#,
    );
}

#[test]
fn a_tree_is_bounded() {
    let not = |levels| format!("{}true", "!(".repeat(levels)) + &")".repeat(levels);
    assert!(Condition::compile(&not(DEPTH_MAX - 1), &Fields).is_ok());
    assert_eq!(said(&not(DEPTH_MAX)), "nests deeper than 32 levels");
    assert_eq!(
        said(&format!("{}1 == 1", "1+".repeat(500))),
        "nests deeper than 32 levels"
    );
    assert_eq!(
        said(&format!("a{}", ".b".repeat(500))),
        "nests deeper than 32 levels"
    );
    // A row of && is no deep tree; its parts are counted.
    assert!(Condition::compile(&["true"; 120].join("&&"), &Fields).is_ok());
    let list = |len| format!("1 in [{}]", vec!["1"; len].join(","));
    assert!(Condition::compile(&list(NODES_MAX - 2), &Fields).is_ok());
    assert_eq!(said(&list(NODES_MAX - 1)), "has more than 256 parts");
    assert_eq!(said(&list(600)), "must have 1 to 1024 bytes");
}

#[test]
fn it_says_what_it_asks_for() {
    let condition = compiled(
        "model.tier in ['gold', 'free'] && 'gpt-4.1' != request.model && has(request.metadata.team) \
         && request.metadata.team == 'x' && model.tier == 'gold' && 'a' in request.tags \
         && request.tags.exists(t, t == 'b')",
    );
    let fields: Vec<u32> = condition.fields().map(|field| field.0).collect();
    assert_eq!(fields, [6, 0, 5, 4]);
    let texts: Vec<_> = condition.texts_compared().collect();
    let expected = [
        (Field(6), "gold"),
        (Field(6), "free"),
        (Field(0), "gpt-4.1"),
    ];
    assert_eq!(texts, expected);
    let keys: Vec<_> = condition.keys_asked().collect();
    assert_eq!(keys, [(Field(5), "team")]);
    assert_eq!(condition, condition.clone());
    assert_ne!(condition, compiled("true"));
    assert_eq!(format!("{:?}", compiled("true")), "Condition(true)");
    assert_eq!(compiled("1 < 2").as_str(), "1 < 2");
}

#[test]
fn a_fact_of_another_kind_is_none() {
    let mut facts = known();
    facts.0.insert(0, Fact::Int(1));
    facts.0.insert(2, Fact::Text("true"));
    for text in [
        "request.model == 'a'",
        "request.stream",
        "request.model.contains('a')",
    ] {
        assert_eq!(compiled(text).holds(&facts), Err(NoValue), "{text}");
    }
    let shared: &dyn Facts = &facts;
    assert_eq!(compiled("true").holds(shared), Ok(true));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z0-9 .()\\[\\]'\"|&?:<>=!+*/%-]{0,60}") {
        if let Ok(condition) = Condition::compile(&text, &Fields) {
            let _ = condition.holds(&known());
        }
    }

    #[test]
    fn no_row_of_words_makes_it_panic(
        words in prop::collection::vec(prop::sample::select(WORDS), 0..30),
    ) {
        let text = words.concat();
        match Condition::compile(&text, &Fields) {
            Ok(condition) => {
                let _ = condition.holds(&known());
            }
            Err(error) => prop_assert!(error.to_string().len() < 2048),
        }
    }
}

const WORDS: &[&str] = &[
    "request",
    ".model",
    ".cost_max",
    ".stream",
    ".tags",
    ".metadata",
    ".team",
    "['x']",
    "budget",
    "(",
    ")",
    "[",
    "]",
    ",",
    " == ",
    " != ",
    " < ",
    " >= ",
    " && ",
    " || ",
    "!",
    "-",
    " + ",
    " * ",
    " / ",
    " % ",
    " ? ",
    " : ",
    " in ",
    "1",
    "0",
    "2.5",
    "1u",
    "'a'",
    "b'a'",
    "true",
    "null",
    "t",
    "has(",
    "size(",
    "usd(",
    ".exists(t, ",
    ".all(t, ",
    ".map(t, ",
    ".matches(",
    ".contains(",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "{",
    "}",
    "{'a': 1}",
    "@result",
    "é",
    "\"\\n\"",
    "r'\\w'",
    "'['",
];
