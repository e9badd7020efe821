//! Whose form a call has whose endpoint isn't known yet, or never will be.

use super::Form;
use crate::protocol::{Dialect, Endpoint};

/// Headers that only one provider's clients send.
const HEADERS: [(&str, Dialect); 5] = [
    ("x-goog-api-key", Dialect::Gemini),
    ("x-goog-api-client", Dialect::Gemini),
    ("anthropic-version", Dialect::Anthropic),
    ("x-api-key", Dialect::Anthropic),
    ("x-amz-date", Dialect::Bedrock),
];

impl Form {
    /// The form of a head: by its endpoint, else by what its path looks like,
    /// else by a header or a query that only one provider's clients send, else
    /// OpenAI's. `path` has its query; `header_names` are in lower case.
    pub fn of_head<'h>(path: &str, header_names: impl Iterator<Item = &'h str>) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let known = Endpoint::of_path(path).map(|(endpoint, _)| endpoint);
        let guessed = || {
            of_path(path)
                .or_else(|| of_headers(header_names))
                .or_else(|| of_query(query))
                .unwrap_or(Dialect::OpenAi)
        };
        Self {
            dialect: known.map_or_else(guessed, Endpoint::dialect),
            quota_status: None,
            array: known == Some(Endpoint::StreamGenerateContent) && !asks_for_events(query),
        }
    }
}

/// By the families of paths that a provider's other endpoints are in.
fn of_path(path: &str) -> Option<Dialect> {
    let (before, last) = path.rsplit_once('/')?;
    let has = |segment: &str| path.split('/').any(|part| part == segment);
    let verb = last.contains(':') && before.ends_with("/models");
    if verb || has("v1beta") || has("v1alpha") || has("v1beta1") {
        Some(Dialect::Gemini)
    } else if path.contains("/v1/messages") || has("anthropic") {
        Some(Dialect::Anthropic)
    } else if path.starts_with("/model/") {
        Some(Dialect::Bedrock)
    } else if path.starts_with("/v2/") || has("cohere") {
        Some(Dialect::Cohere)
    } else if path.starts_with("/api/") && !path.starts_with("/api/v1/") {
        // Below `/api/v1` are gateways that speak OpenAI's form.
        Some(Dialect::Ollama)
    } else {
        None
    }
}

fn of_headers<'h>(mut names: impl Iterator<Item = &'h str>) -> Option<Dialect> {
    names.find_map(|name| {
        let known = HEADERS.iter().find(|(known, _)| *known == name);
        known.map(|(_, dialect)| *dialect)
    })
}

/// Google's clients may put their key there.
fn of_query(query: &str) -> Option<Dialect> {
    let mut parameters = query.split('&');
    let has_key = parameters.any(|parameter| parameter.starts_with("key="));
    has_key.then_some(Dialect::Gemini)
}

/// Whether a stream is to come as server-sent events. Google's servers take the
/// parameter with a `$` as well.
fn asks_for_events(query: &str) -> bool {
    let mut parameters = query.split('&');
    parameters.any(|parameter| matches!(parameter, "alt=sse" | "$alt=sse" | "%24alt=sse"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dialect::*;

    #[test]
    fn a_head_shows_whose_client_sent_it() {
        for (path, headers, dialect, array) in [
            // The endpoint is known.
            ("/v1/chat/completions", &["x-api-key"][..], OpenAi, false),
            (
                "/v1/messages?beta=true",
                &["authorization"],
                Anthropic,
                false,
            ),
            ("/v1beta/models/g:generateContent?key=k", &[], Gemini, false),
            ("/v1beta/models/g:streamGenerateContent", &[], Gemini, true),
            (
                "/v1beta/models/g:streamGenerateContent?alt=sse",
                &[],
                Gemini,
                false,
            ),
            (
                "/v1beta/models/g:streamGenerateContent?key=k&%24alt=sse",
                &[],
                Gemini,
                false,
            ),
            (
                "/v1beta/models/g:streamGenerateContent?alt=json",
                &[],
                Gemini,
                true,
            ),
            ("/model/a%3A0/converse-stream", &[], Bedrock, false),
            ("/v2/chat", &[], Cohere, false),
            ("/api/chat", &[], Ollama, false),
            // The path looks like it.
            ("/v1beta/models", &[], Gemini, false),
            ("/v1beta1/projects/p/x", &[], Gemini, false),
            ("/v1/publishers/google/models/g:other", &[], Gemini, false),
            ("/v1/messages/batches", &[], Anthropic, false),
            ("/anthropic/v1/models", &[], Anthropic, false),
            ("/model/m/async-invoke", &[], Bedrock, false),
            ("/v2/tokenize", &["x-api-key"], Cohere, false),
            ("/api/tags", &[], Ollama, false),
            ("/api/v1/models", &[], OpenAi, false),
            // A header or the query does.
            (
                "/v1/models",
                &["accept", "anthropic-version"],
                Anthropic,
                false,
            ),
            ("/v1/models", &["x-api-key"], Anthropic, false),
            ("/v1/models", &["x-goog-api-key"], Gemini, false),
            ("/v1/models", &["x-amz-date"], Bedrock, false),
            ("/v1/models?key=k", &[], Gemini, false),
            ("/v1/models?monkey=k", &[], OpenAi, false),
            // Nothing does.
            ("/v1/models", &["authorization"], OpenAi, false),
            ("/v1/files/a:b", &[], OpenAi, false),
            ("", &[], OpenAi, false),
            ("?", &[], OpenAi, false),
        ] {
            let form = Form::of_head(path, headers.iter().copied());
            assert_eq!(
                (form.dialect, form.array),
                (dialect, array),
                "{path} {headers:?}"
            );
        }
    }
}
