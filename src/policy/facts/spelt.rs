//! Fields of conditions by their names, and what each is for a call: for those who
//! read an explanation.

use super::Named;
use super::names::{COUNTERS, FACTS, Fact, OF_COUNTERS, fact};
use crate::expressions::condition::{Facts, Field, Value};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// A field as conditions spell it: `request.cost_max`, `budget.monthly.used`. `names`
/// are those that the condition was compiled with.
pub fn spelt(field: Field, names: &[Arc<str>], is_budget: impl Fn(&str) -> bool) -> String {
    let Some(of_counters) = field.0.checked_sub(COUNTERS) else {
        let known = usize::try_from(field.0).ok().and_then(|at| FACTS.get(at));
        return known.map_or_else(String::new, |(path, ..)| path.join("."));
    };
    let at = usize::try_from(of_counters).unwrap_or(usize::MAX);
    let name = names.get(at / OF_COUNTERS.len()).map_or("", |name| name);
    let what = OF_COUNTERS.get(at % OF_COUNTERS.len());
    let root = if is_budget(name) { "budget" } else { "limit" };
    format!("{root}.{name}.{}", what.map_or("", |(what, _)| what))
}

/// Whether the ledger's rows tell of a field.
pub fn is_in_rows(field: Field) -> bool {
    fact(field.0).is_none_or(Fact::is_in_rows)
}

impl Fact {
    /// Only bodies tell of it, and what they come to.
    pub(super) fn is_of_bodies(self) -> bool {
        matches!(
            self,
            Fact::Stream
                | Fact::InputTokens
                | Fact::OutputMax
                | Fact::Tokens
                | Fact::CostMax
                | Fact::Choices
                | Fact::Messages
                | Fact::Images
                | Fact::Searches
                | Fact::BodyBytes
                | Fact::Tools
                | Fact::Metadata
        )
    }

    pub(super) fn is_of_models(self) -> bool {
        matches!(
            self,
            Fact::ModelName | Fact::Tier | Fact::Provider | Fact::InputPrice | Fact::OutputPrice
        )
    }

    pub(super) fn is_in_rows(self) -> bool {
        !matches!(
            self,
            Fact::Choices
                | Fact::Messages
                | Fact::Images
                | Fact::Tools
                | Fact::Task
                | Fact::Latency
                | Fact::Route
                | Fact::Headers
                | Fact::Metadata
        )
    }
}

/// What a field is for a call; null where it has no value.
pub fn told(field: Field, named: &Named) -> Json {
    if let Some(value) = named.value(field) {
        return match value {
            Value::Bool(is) => is.into(),
            Value::Int(is) => is.into(),
            Value::Float(is) => is.into(),
            Value::Text(is) => is.into(),
        };
    }
    let request = named.facts.request;
    match fact(field.0) {
        Some(Fact::Tools) => request.tools.iter().map(String::as_str).collect(),
        Some(Fact::Labels) => {
            let labels = named.facts.call.who.labels.iter();
            map(labels.flat_map(|labels| labels.iter().map(|(name, value)| (&**name, &**value))))
        }
        Some(Fact::Headers) => {
            let headers = request.hints.headers.iter();
            map(headers.map(|(name, value)| (&**name, value.as_str())))
        }
        Some(Fact::Metadata) => {
            let metadata = request.metadata.iter();
            map(metadata.map(|(name, value)| (name.as_str(), value.as_str())))
        }
        _ => Json::Null,
    }
}

fn map<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Json {
    let entries = entries.map(|(name, value)| (name.to_owned(), Json::from(value)));
    Json::Object(entries.collect::<Map<_, _>>())
}
