//! `routes` as they are written.

use super::sources::places;
use crate::config::reader::{Fields, Item, Located};
use crate::identity::source::Places;
use crate::protocol::Dialect;

#[derive(Debug)]
pub struct RawRoute {
    pub name: Option<Located<std::sync::Arc<str>>>,
    pub envoy_route: Option<Located<String>>,
    pub host: Option<Located<String>>,
    pub path: Option<Located<String>>,
    pub environment: Option<Located<std::sync::Arc<str>>>,
    /// The inner is `None` where what is written can't be read.
    pub credentials: Option<Option<Places>>,
    pub dialect: Option<Dialect>,
    pub pass_unknown: bool,
    pub allow_upgrades: bool,
}

const DIALECTS: [(&str, Dialect); 6] = [
    ("openai", Dialect::OpenAi),
    ("anthropic", Dialect::Anthropic),
    ("gemini", Dialect::Gemini),
    ("bedrock", Dialect::Bedrock),
    ("cohere", Dialect::Cohere),
    ("ollama", Dialect::Ollama),
];

/// One that can't be read is `None`.
pub fn routes(top: &Fields) -> Option<Located<Vec<Option<RawRoute>>>> {
    let item = top.optional("routes")?;
    let routes = item.list()?.iter().map(route).collect();
    Some(Located {
        value: routes,
        at: item.at,
    })
}

fn route(item: &Item) -> Option<RawRoute> {
    let fields = item.fields(&[
        "name",
        "envoy_route",
        "host",
        "path",
        "environment",
        "credentials",
        "dialect",
        "unknown_endpoints",
        "upgrades",
    ])?;
    let word = |name, words: &[(&str, bool); 2]| {
        let item = fields.optional(name)?;
        item.word(words).map(|word| word.value)
    };
    let unknown = word("unknown_endpoints", &[("refuse", false), ("pass", true)]);
    let upgrades = word("upgrades", &[("refuse", false), ("allow", true)]);
    Some(RawRoute {
        name: fields.optional("name").and_then(|item| item.name()),
        envoy_route: fields.optional("envoy_route").and_then(|item| item.text()),
        host: fields.optional("host").and_then(|item| item.text()),
        path: fields.optional("path").and_then(|item| item.text()),
        credentials: fields.optional("credentials").map(|item| places(&item)),
        environment: fields.optional("environment").and_then(|item| item.name()),
        dialect: fields
            .optional("dialect")
            .and_then(|item| item.word(&DIALECTS))
            .map(|word| word.value),
        pass_unknown: unknown.unwrap_or(false),
        allow_upgrades: upgrades.unwrap_or(false),
    })
}
