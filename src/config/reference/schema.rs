//! The reference as a JSON Schema (draft 2020-12), for editors.
//!
//! It holds a file's form: which fields there are, and how each is written. What
//! fields mean together, `weir check` says.

use super::{Block, FILE, Field, Form, Need, Written, blocks};
use serde_json::{Map, Value, json};

/// What `$id` says: a name, not an address.
const ID: &str = "urn:weir:configuration";

/// The whole schema.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for each in blocks() {
        for field in each.fields {
            written_in(field.form, &mut definitions);
        }
        definitions.insert(each.id.to_owned(), block(each));
    }
    let mut schema = definitions.remove(FILE.id).unwrap_or_default();
    if let Value::Object(all) = &mut schema {
        all.insert(
            "$schema".into(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        all.insert("$id".into(), ID.into());
        all.insert("title".into(), "The configuration of weir".into());
        all.insert("$defs".into(), definitions.into());
    }
    schema
}

/// As `weir config schema` prints it.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// `null` stands for a block without fields, as `memory:` in YAML.
fn block(block: &Block) -> Value {
    let properties = block.fields.iter();
    let properties = properties.map(|field| {
        let schema = property(field, block);
        (field.name.to_owned(), schema)
    });
    let properties: Map<String, Value> = properties.collect();
    let required = block.fields.iter();
    let required = required.filter(|field| field.need == Need::Required);
    let required: Vec<&str> = required.map(|field| field.name).collect();
    let mut schema = json!({
        "description": block.doc,
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": false,
    });
    if let Value::Object(all) = &mut schema {
        if !required.is_empty() {
            all.insert("required".into(), json!(required));
            all.insert("type".into(), "object".into());
        }
        if block.is_choice {
            all.insert("minProperties".into(), 1.into());
            all.insert("maxProperties".into(), 1.into());
            all.insert("type".into(), "object".into());
        }
    }
    schema
}

/// Blocks that count by being there: with nothing behind them they lack what they
/// require.
const COUNTS: [&str; 9] = [
    "ledger.cloudevents",
    "ledger.file",
    "ledger.otlp",
    "ledger.postgres",
    "redis.cluster",
    "redis.sentinel",
    "redis.url",
    "redis.url_env",
    "redis.url_file",
];

/// What may be left out may stand there with nothing behind it; what is chosen may
/// not, unless that is all that it takes.
fn property(field: &Field, of: &Block) -> Value {
    let counts = COUNTS.contains(&&*format!("{}.{}", of.id, field.name));
    let is_optional = field.need != Need::Required && !of.is_choice && !counts;
    let may_be_empty = is_optional && !takes_null(field.form);
    let mut schema = match may_be_empty {
        true => or_null(form(field.form)),
        false => form(field.form),
    };
    if let Value::Object(all) = &mut schema {
        if field.need == Need::Required && takes_null(field.form) {
            all.insert("type".into(), "object".into());
        }
        all.insert("description".into(), described(field).into());
        if let Need::Default(text) = field.need {
            all.insert("default".into(), scalar(text));
        }
    }
    schema
}

/// Whether a form takes nothing as it is: a mapping of which nothing is required.
fn takes_null(form: &Form) -> bool {
    match form {
        Form::Named(_) => true,
        Form::Block(block) => {
            let mut fields = block.fields.iter();
            !block.is_choice && fields.all(|field| field.need != Need::Required)
        }
        _ => false,
    }
}

fn or_null(mut schema: Value) -> Value {
    let nothing = json!({ "type": "null" });
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.push(nothing);
        return schema;
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
        return schema;
    }
    json!({ "anyOf": [schema, nothing] })
}

/// Markdown's marks stay: editors show descriptions as such.
fn described(field: &Field) -> String {
    match field.need {
        Need::Optional(otherwise) if !otherwise.is_empty() => {
            format!("{} Left out: {otherwise}.", field.doc)
        }
        _ => field.doc.to_owned(),
    }
}

/// As YAML reads it.
pub fn scalar(text: &str) -> Value {
    let number = || text.parse::<u64>().ok().filter(|n| n.to_string() == text);
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ => number().map_or_else(|| text.into(), Value::from),
    }
}

fn form(form: &Form) -> Value {
    match form {
        Form::Written(written) => reference(written.id),
        Form::Words(words) => json!({ "enum": spelled(words) }),
        Form::Block(block) => reference(block.id),
        Form::List(each) => json!({ "type": "array", "items": self::form(each) }),
        Form::Some(each) => {
            let list = json!({ "type": "array", "items": self::form(each) });
            json!({ "anyOf": [self::form(each), list] })
        }
        Form::Named(each) => {
            json!({ "type": ["object", "null"], "additionalProperties": self::form(each) })
        }
        Form::Any(forms) => {
            // Nothing is none of several.
            let one = |form: &Form| match form {
                Form::Named(each) => {
                    json!({ "type": "object", "additionalProperties": self::form(each) })
                }
                form => self::form(form),
            };
            let forms: Vec<Value> = forms.iter().map(one).collect();
            json!({ "anyOf": forms })
        }
    }
}

/// A word that is a number may be written as one.
fn spelled(words: &[&str]) -> Vec<Value> {
    let mut all: Vec<Value> = words.iter().map(|word| (*word).into()).collect();
    all.extend(
        words
            .iter()
            .map(|word| scalar(word))
            .filter(Value::is_number),
    );
    all
}

fn reference(id: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{id}") })
}

fn written_in(form: &Form, definitions: &mut Map<String, Value>) {
    match form {
        Form::Written(each) => {
            definitions.insert(each.id.to_owned(), written(each));
        }
        Form::Words(_) | Form::Block(_) => {}
        Form::List(each) | Form::Some(each) | Form::Named(each) => written_in(each, definitions),
        Form::Any(forms) => {
            for form in *forms {
                written_in(form, definitions);
            }
        }
    }
}

fn written(written: &Written) -> Value {
    let mut schema = json!({ "description": written.doc, "type": written.types });
    if let Value::Object(all) = &mut schema {
        if !written.pattern.is_empty() {
            all.insert("pattern".into(), written.pattern.into());
        }
        if written.id == "true" {
            all.insert("const".into(), true.into());
        }
        let is_number = |name: &&str| matches!(*name, "integer" | "number");
        if written.types == ["integer"] {
            all.insert("minimum".into(), 1.into());
        } else if written.is_of_digits() && written.types.iter().any(is_number) {
            all.insert("minimum".into(), 0.into());
        }
    }
    schema
}
