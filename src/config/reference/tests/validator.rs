//! As much of JSON Schema as the schema uses.

use regex_automata::meta::Regex;
use serde_json::Value;

/// What is wrong with a value, and where.
pub fn wrong(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(reference) = schema.get("$ref") {
        let pointer = reference.as_str().unwrap().trim_start_matches('#');
        let target = root.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
        if let Some(wrong) = wrong(root, target, value, at) {
            return Some(wrong);
        }
    }
    if let Some(any) = schema.get("anyOf") {
        let each = any.as_array().unwrap().iter();
        let all: Option<Vec<String>> = each.map(|one| wrong(root, one, value, at)).collect();
        if let Some(all) = all {
            return Some(all.join(" or "));
        }
    }
    if let Some(types) = schema.get("type")
        && !is_one(types, value)
    {
        return Some(format!("{at}: {value} is not {types}"));
    }
    let words = schema.get("enum").and_then(Value::as_array);
    if words.is_some_and(|words| !words.contains(value)) {
        return Some(format!("{at}: {value} is no word"));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return Some(format!("{at}: {value} is not the only value"));
    }
    if let (Some(pattern), Some(text)) = (schema.get("pattern"), value.as_str())
        && !Regex::new(pattern.as_str().unwrap())
            .unwrap()
            .is_match(text)
    {
        return Some(format!("{at}: {text} doesn't match {pattern}"));
    }
    if let (Some(least), Some(number)) = (schema.get("minimum"), value.as_f64())
        && number < least.as_f64().unwrap()
    {
        return Some(format!("{at}: {number} is less than {least}"));
    }
    match value {
        Value::Array(items) => {
            let schema = schema.get("items")?;
            let mut each = items.iter().enumerate();
            each.find_map(|(n, item)| wrong(root, schema, item, &format!("{at}/{n}")))
        }
        Value::Object(all) => object(root, schema, all, at),
        _ => None,
    }
}

fn object(
    root: &Value,
    schema: &Value,
    all: &serde_json::Map<String, Value>,
    at: &str,
) -> Option<String> {
    let count = |name| schema.get(name).and_then(Value::as_u64);
    let len = all.len() as u64;
    if count("minProperties").is_some_and(|min| len < min)
        || count("maxProperties").is_some_and(|max| len > max)
    {
        return Some(format!("{at}: has {len} properties"));
    }
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten() {
        if !all.contains_key(name.as_str().unwrap()) {
            return Some(format!("{at}: lacks {name}"));
        }
    }
    for (name, value) in all {
        let at = format!("{at}/{name}");
        let own = schema.get("properties").and_then(|own| own.get(name));
        let wrong = match (own, schema.get("additionalProperties")) {
            (Some(schema), _) => wrong(root, schema, value, &at),
            (None, Some(Value::Bool(false))) => Some(format!("{at}: isn't known")),
            (None, Some(schema)) => wrong(root, schema, value, &at),
            (None, None) => None,
        };
        if wrong.is_some() {
            return wrong;
        }
    }
    None
}

fn is_one(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    match types {
        Value::Array(types) => types.iter().any(is),
        one => is(one),
    }
}
