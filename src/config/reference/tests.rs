//! The reference and the reader say the same.

use super::super::outside::Given;
use super::super::shown::Shown;
use super::super::{Config, examples, load, yaml};
use super::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

mod validator;

/// A field that is known nowhere, and near to none.
const STRANGE: &str = "zzzzzzzzzzzz";

/// One step from a mapping or list to what is in it.
#[derive(Debug, Clone, Copy)]
enum Step {
    Field(&'static str),
    /// Under a name of the operator's.
    Named,
    First,
}

type Place = (Vec<Step>, &'static Block);

/// Every block at every place where it may stand.
fn places() -> Vec<Place> {
    fn within(form: &'static Form, path: &[Step], found: &mut Vec<Place>) {
        let next = |step: Step| [path, &[step]].concat();
        match form {
            Form::Written(_) | Form::Words(_) => {}
            Form::Block(block) => at(block, path, found),
            Form::List(each) => within(each, &next(Step::First), found),
            Form::Some(each) => within(each, path, found),
            Form::Named(each) => within(each, &next(Step::Named), found),
            Form::Any(forms) => forms.iter().for_each(|form| within(form, path, found)),
        }
    }
    fn at(block: &'static Block, path: &[Step], found: &mut Vec<Place>) {
        found.push((path.to_vec(), block));
        for field in block.fields {
            let path = [path, &[Step::Field(field.name)]].concat();
            within(field.form, &path, found);
        }
    }
    let mut found = Vec::new();
    at(&FILE, &[], &mut found);
    found
}

/// A file with nothing but this value at this place.
fn file(path: &[Step], value: Value) -> String {
    let whole = path.iter().rev().fold(value, |inner, step| match step {
        Step::Field(name) => json!({ *name: inner }),
        Step::Named => json!({ "p": inner }),
        Step::First => json!([inner]),
    });
    whole.to_string()
}

/// As problems say it.
fn written(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) if text.is_empty() => text += name,
            Step::Field(name) => text = format!("{text}.{name}"),
            Step::Named => text += ".p",
            Step::First => text += "[0]",
        }
    }
    text
}

/// What is said of the value at this place, of all that is said of a file.
fn said(path: &[Step], value: Value) -> Option<String> {
    let problems = load(&file(path, value), "f", &Given::default()).expect_err("not a whole file");
    let place = format!(": {}: ", written(path));
    let text = problems.to_string();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.split_once(&place));
    line.map(|(_, said)| said.to_owned())
}

/// A mapping that is this block and no other, with a field that isn't known.
fn strange(block: &Block) -> Value {
    let required = block.fields.iter().filter(|f| f.need == Need::Required);
    let mut all: serde_json::Map<String, Value> = required
        .map(|field| (field.name.to_owned(), Value::Null))
        .collect();
    all.insert(STRANGE.into(), 1.into());
    all.into()
}

#[test]
fn the_reference_has_exactly_the_fields_that_the_reader_knows() {
    let mut wrong = BTreeSet::new();
    for (path, block) in places() {
        let strange_path = [&path[..], &[Step::Field(STRANGE)]].concat();
        let text = file(&path, strange(block));
        let problems = load(&text, "f", &Given::default())
            .expect_err(&text)
            .to_string();
        let place = format!(": {}: unknown field; ", written(&strange_path));
        let known = problems.lines().find_map(|line| line.split_once(&place));
        let Some((_, known)) = known else {
            wrong.insert(format!(
                "the reader never comes to the block {:?} at {:?}",
                block.id,
                written(&path)
            ));
            continue;
        };
        let known: BTreeSet<&str> = known
            .strip_prefix("known here: ")
            .map_or_else(BTreeSet::new, |known| known.split(", ").collect());
        let told: BTreeSet<&str> = block.fields.iter().map(|field| field.name).collect();
        for name in known.difference(&told) {
            wrong.insert(format!("the block {:?} in src/config/reference lacks the field {name:?}, which the reader knows at {:?}", block.id, written(&path)));
        }
        for name in told.difference(&known) {
            wrong.insert(format!("the block {:?} in src/config/reference has the field {name:?}, which the reader doesn't know at {:?}", block.id, written(&path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_the_reference_calls_no_block_is_none() {
    let mut wrong = BTreeSet::new();
    for (path, block) in places() {
        for field in block
            .fields
            .iter()
            .filter(|field| field.form.blocks().is_empty())
        {
            if matches!(field.form, Form::Named(_)) {
                continue;
            }
            let path = [&path[..], &[Step::Field(field.name)]].concat();
            for steps in [&[][..], &[Step::First][..]] {
                let path = [&path[..], steps].concat();
                let strange_path = [&path[..], &[Step::Field(STRANGE)]].concat();
                let text = file(&path, json!({ STRANGE: 1 }));
                let problems = load(&text, "f", &Given::default())
                    .expect_err(&text)
                    .to_string();
                if problems.contains(&format!(": {}: unknown field", written(&strange_path))) {
                    wrong.insert(format!(
                        "{}.{} may be a mapping, of which the reference says nothing",
                        block.id, field.name
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// How the reader names a form, of which it was given something else.
fn named_by_reader(form: &Form) -> Option<String> {
    match form {
        Form::Words(words) => Some(format!("must be one of {} (got", words.join(", "))),
        Form::Written(written) => {
            let what = match written.id {
                "amount" => "must be a whole number such as",
                "dollars" => "must be an amount of dollars",
                "share" => "must be a number such as 1 or 1.15",
                "size" => "must be a size such as",
                "span" => "must be a span of time",
                "boolean" => "must be true or false",
                _ => return None,
            };
            Some(what.to_owned())
        }
        Form::Some(each) => named_by_reader(each),
        _ => None,
    }
}

/// What the reader says of a wrong value in words of its own: more units than it
/// takes there, or that another field is missing.
const SAID_OTHERWISE: &[&str] = &["limit_of_hits.unit", "output.percentile"];

#[test]
fn words_and_units_are_those_that_the_reader_asks_for() {
    let (mut wrong, mut held) = (BTreeSet::new(), BTreeSet::new());
    for (path, block) in places() {
        for field in block.fields {
            let Some(rule) = named_by_reader(field.form) else {
                continue;
            };
            let path = [&path[..], &[Step::Field(field.name)]].concat();
            let name = format!("{}.{}", block.id, field.name);
            if SAID_OTHERWISE.contains(&&*name) {
                continue;
            }
            match said(&path, json!(STRANGE)) {
                Some(said) if said.starts_with(&rule) => {
                    held.insert(name);
                }
                said => {
                    wrong.insert(format!(
                        "{name} at {}: {rule:?}, but the reader says {said:?}",
                        written(&path)
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(held.len() >= 90, "{held:?}");
}

fn outside() -> Given {
    Given::default()
        .with_env("WEIR_PEPPER", "pepper-of-32-bytes-for-the-tests")
        .with_env("TEXT", "postgres://u:p@h/d")
        .with_file("/run/ca.pem", b"-----BEGIN CERTIFICATE-----\n")
}

/// A file as JSON.
fn tree(text: &str) -> Value {
    yaml::parse(text).unwrap().to_json()
}

/// Files with every block that has a default in it.
fn files() -> Vec<(&'static str, Value)> {
    let examples = examples::ALL.iter().map(|(name, text)| (*name, tree(text)));
    let own = [
        ("good", tree(include_str!("../tests/good.yaml"))),
        ("whole", tree(include_str!("tests/whole.yaml"))),
    ];
    examples.chain(own).collect()
}

#[test]
fn the_schema_takes_the_files_that_the_reader_takes() {
    let schema = schema::schema();
    for (name, file) in files() {
        if let Err(problems) = load(&file.to_string(), name, &outside()) {
            panic!("{problems}");
        }
        let wrong = validator::wrong(&schema, &schema, &file, "");
        assert_eq!(wrong, None, "{name}");
    }
}

#[test]
fn the_schema_refuses_what_no_field_takes() {
    let schema = schema::schema();
    let good = tree(include_str!("../tests/good.yaml"));
    for (pointer, value) in [
        ("/plans/team/limits/0/amount", json!("lots")),
        ("/plans/team/limits/0/every", json!(60)),
        ("/plans/team/limits/0/per", json!("team")),
        ("/plans/team/limits/0", json!({ "per": "tenant" })),
        ("/plans/team/limits", json!({})),
        (
            "/counters",
            json!({ "memory": {}, "redis": { "url": "redis://h" } }),
        ),
        ("/counters", json!({})),
        ("/tenants/acme/plan", json!(true)),
        ("/tenants/acme", json!({ "plan": "team", "plans": "team" })),
        ("/models/gpt-4o/inject_include_usage", json!("yes")),
        (
            "/plans/team/policies",
            json!([{ "name": "r", "then": { "warn": false } }]),
        ),
    ] {
        let mut file = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match file.pointer_mut(parent).unwrap() {
            Value::Object(all) => {
                all.insert(name.to_owned(), value);
            }
            Value::Array(all) => all[name.parse::<usize>().unwrap()] = value,
            other => panic!("{other}"),
        }
        assert!(
            validator::wrong(&schema, &schema, &file, "").is_some(),
            "{pointer}"
        );
    }
}

/// Every block of a file, by its pointer.
fn blocks_in(
    form: &'static Form,
    value: &Value,
    pointer: &str,
    found: &mut Vec<(String, &'static Block)>,
) {
    match (form, value) {
        (Form::Block(block), Value::Object(all)) => {
            if all
                .keys()
                .any(|name| !block.fields.iter().any(|field| field.name == name))
            {
                // Another one of several that it may be.
                return;
            }
            found.push((pointer.to_owned(), block));
            for field in block.fields {
                if let Some(value) = all.get(field.name) {
                    blocks_in(
                        field.form,
                        value,
                        &format!("{pointer}/{}", field.name),
                        found,
                    );
                }
            }
        }
        (Form::List(each) | Form::Some(each), Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                blocks_in(each, value, &format!("{pointer}/{index}"), found);
            }
        }
        (Form::Some(each), _) => blocks_in(each, value, pointer, found),
        (Form::Named(each), Value::Object(all)) => {
            for (name, value) in all {
                blocks_in(each, value, &format!("{pointer}/{name}"), found);
            }
        }
        (Form::Any(forms), _) => forms
            .iter()
            .for_each(|form| blocks_in(form, value, pointer, found)),
        _ => {}
    }
}

/// Whether a value is a number to the reader, with or without a unit.
fn is_of_digits(form: &Form) -> bool {
    match form {
        Form::Written(written) => written.is_of_digits(),
        Form::Some(each) => is_of_digits(each),
        Form::Any(forms) => forms.iter().all(is_of_digits),
        _ => false,
    }
}

/// A field with nothing behind it, and a number below 0: what the reader takes the
/// schema takes, and no more.
#[test]
fn the_schema_takes_nothing_and_less_than_nothing_as_the_reader_does() {
    static WHOLE: Form = Form::Block(&FILE);
    let schema = schema::schema();
    let (mut wrong, mut held) = (BTreeSet::new(), BTreeSet::new());
    for (name, file) in files() {
        let mut found = Vec::new();
        blocks_in(&WHOLE, &file, "", &mut found);
        for (pointer, block) in found {
            for field in block.fields {
                let told = format!("{}.{}", block.id, field.name);
                let mut try_with = |value: Value| {
                    let mut file = file.clone();
                    let Some(Value::Object(all)) = file.pointer_mut(&pointer) else {
                        panic!("{pointer}")
                    };
                    all.insert(field.name.to_owned(), value.clone());
                    let loads = load(&file.to_string(), name, &outside()).is_ok();
                    let takes = validator::wrong(&schema, &schema, &file, "");
                    if loads != takes.is_none() {
                        wrong.insert(format!(
                            "{told}: {value} at {pointer} of {name} loads: {loads}; the schema: {takes:?}"
                        ));
                    }
                    held.insert((told.clone(), value.to_string()));
                };
                let at = format!("{pointer}/{}", field.name);
                let is_there = file.pointer(&at).is_some();
                // In the place of what is there it may be missed by others.
                if !is_there || field.need == Need::Required {
                    try_with(Value::Null);
                }
                if is_of_digits(field.form) {
                    try_with(json!(-1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(held.len() >= 300, "{}", held.len());
}

/// What a configuration comes to.
fn meaning(config: &Config) -> (Value, String) {
    let snapshot = &config.snapshot;
    let plans: BTreeMap<_, _> = snapshot.plans.iter().collect();
    let rest = (&snapshot.sources, &snapshot.routes, &config.ledger);
    (
        Shown::of(config).value().clone(),
        format!("{plans:?} {rest:?}"),
    )
}

/// Other values than the default, of which one should load.
fn others(form: &Form) -> Vec<Value> {
    match form {
        Form::Words(words) => words.iter().map(|word| json!(word)).collect(),
        Form::Any(forms) => forms.iter().flat_map(others).collect(),
        Form::Some(each) => others(each),
        Form::Written(written) if written.id == "boolean" => vec![json!(true), json!(false)],
        _ => {
            let texts = [
                "7",
                "77",
                "407",
                "5ms",
                "3s",
                "14s",
                "61s",
                "3d",
                "2MiB",
                "200MiB",
                "0600",
                "127.0.0.1:1",
            ];
            let texts = texts.into_iter().chain(["Asia/Tokyo"]);
            texts.map(|text| json!(text)).collect()
        }
    }
}

/// Defaults that count where a call is judged: what is loaded says only that nothing
/// was written.
const NOT_TOLD: &[&str] = &[
    "choices.cap",
    "choices.over",
    "max_tokens.over",
    // They change only what may stand beside them.
    "listen.allow_remote",
    "prices.unknown",
    "descriptor_rule.unlimited",
];

/// A plan that stands below others, too: what it doesn't say there is as they say.
const BELOW: (&str, &str, &str) = ("departments", "/plans/trainee", "time_zone");

/// Writing a default changes nothing, but another value would: so it is the default.
#[test]
fn defaults_are_those_that_count() {
    static WHOLE: Form = Form::Block(&FILE);
    let (mut held, mut wrong) = (BTreeSet::new(), BTreeMap::new());
    for (name, file) in files() {
        let before = meaning(&load(&file.to_string(), name, &outside()).unwrap());
        let mut found = Vec::new();
        blocks_in(&WHOLE, &file, "", &mut found);
        for (pointer, block) in found {
            for field in block.fields {
                let Need::Default(default) = field.need else {
                    continue;
                };
                let mut file = file.clone();
                let Some(Value::Object(all)) = file.pointer_mut(&pointer) else {
                    panic!("{pointer}")
                };
                let is_below = (name, &*pointer, field.name) == BELOW;
                if is_below || all.contains_key(field.name) {
                    continue;
                }
                all.insert(field.name.to_owned(), schema::scalar(default));
                let told = format!("{}.{}", block.id, field.name);
                match load(&file.to_string(), name, &outside()) {
                    _ if NOT_TOLD.contains(&&*told) => {}
                    Ok(config) if meaning(&config) == before => {
                        let other = |value: Value| {
                            let mut file = file.clone();
                            let place = format!("{pointer}/{}", field.name);
                            *file.pointer_mut(&place).unwrap() = value;
                            let config = load(&file.to_string(), name, &outside());
                            config.is_ok_and(|config| meaning(&config) != before)
                        };
                        if others(field.form).into_iter().any(other) {
                            held.insert(told);
                        }
                    }
                    Ok(_) => {
                        let text = format!("{default} isn't what counts at {pointer} of {name}");
                        wrong.insert(told, text);
                    }
                    // It has a meaning only beside another.
                    Err(_) => {}
                }
            }
        }
    }
    assert_eq!(crate::policy::plan::CHOICES_DEFAULT, 8);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let all = blocks().into_iter().flat_map(|block| {
        let defaults = block
            .fields
            .iter()
            .filter(|field| matches!(field.need, Need::Default(_)));
        defaults.map(|field| format!("{}.{}", block.id, field.name))
    });
    let missing: Vec<String> = all
        .filter(|told| !held.contains(told) && !NOT_TOLD.contains(&&**told))
        .collect();
    assert!(
        missing.is_empty(),
        "no file of the test tells of {missing:#?}"
    );
}

/// The text is that of the file; with `WEIR_WRITE_GOLDEN` it is written there.
fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/config")
        .join(name);
    if std::env::var_os("WEIR_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{name} is not what is printed: see it by WEIR_WRITE_GOLDEN=1 and git diff"
    );
}

#[test]
fn the_published_files_are_what_is_printed() {
    golden("weir.schema.json", &schema::text());
    golden("reference.md", &markdown::text());
}
