//! Where a caller's key stands in a request's head.
//!
//! Each provider's clients have a place of their own for it. It may stand in
//! several, as long as it is the same in all: of two different keys nobody could
//! tell which one is meant. None of them is sent on.

use super::head::{Several, single, split_path};
use super::message::Headers;
use crate::identity::source::Places;
use crate::protocol::denial::Credential;
use crate::protocol::{Dialect, Endpoint};

/// Headers that hold a key and nothing else: Azure's, Anthropic's, Google's.
pub(super) const KEY_HEADERS: [&str; 3] = ["api-key", "x-api-key", "x-goog-api-key"];

/// The parameter of a query in which Google's clients may send a key.
const KEY_PARAMETER: &str = "key=";

/// The key, wherever it may stand.
pub(super) fn key<'h>(headers: &'h Headers, places: &Places) -> Result<&'h str, Credential> {
    let mut found = None;
    if places.authorization {
        found = match single(headers, "authorization") {
            Ok(None) => None,
            Ok(Some(value)) => Some(bearer(value).ok_or(Credential::Malformed)?),
            Err(Several) => return Err(Credential::Several),
        };
    }
    let known = [places.api_key, places.x_api_key, places.x_goog_api_key];
    let known = KEY_HEADERS
        .into_iter()
        .zip(known)
        .filter(|(_, looked)| *looked);
    let known = known.map(|(name, _)| name);
    for name in known.chain(places.headers.iter().map(|name| &**name)) {
        let key = single(headers, name).map_err(|Several| Credential::Several)?;
        found = one(found, key)?;
    }
    if places.query {
        for key in keys_in_query(headers) {
            found = one(found, Some(key))?;
        }
    }
    found.ok_or(Credential::Missing)
}

fn one<'h>(found: Option<&'h str>, other: Option<&'h str>) -> Result<Option<&'h str>, Credential> {
    match (found, other) {
        (Some(found), Some(other)) if found != other => Err(Credential::Several),
        (found, other) => Ok(found.or(other)),
    }
}

/// The token of `Bearer TOKEN`. A comma would be two headers joined into one.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim_start();
    let well_formed = !token.is_empty() && !token.contains([' ', ',', '\t']);
    (scheme.eq_ignore_ascii_case("bearer") && well_formed).then_some(token)
}

/// Google's endpoints alone take a key from the query.
fn query(headers: &Headers) -> Option<(&str, &str)> {
    let (path, query) = split_path(headers);
    // Few calls have one: the path is looked up for those alone.
    let query = query?;
    let (endpoint, _) = Endpoint::of_request_path(path, None)?;
    (endpoint.dialect() == Dialect::Gemini).then_some((path, query))
}

/// Whether a query of Google's says nothing but how the answer is written, and
/// the key. Others could keep the answer from saying what was used (`fields`),
/// or have it in a form that isn't read here; and a key is known by one
/// spelling alone.
pub(super) fn query_is_known(headers: &Headers) -> bool {
    let (_, query) = split_path(headers);
    let mut parameters = query
        .unwrap_or("")
        .split('&')
        .filter(|text| !text.is_empty());
    parameters.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "alt" | "$alt" | "%24alt" => value == "sse" || value.starts_with("json"),
            "key" | "prettyPrint" | "%24prettyPrint" | "$prettyPrint" => true,
            _ => false,
        }
    })
}

fn keys_in_query(headers: &Headers) -> impl Iterator<Item = &str> {
    let query = query(headers).map_or("", |(_, query)| query);
    query
        .split('&')
        .filter_map(|parameter| parameter.strip_prefix(KEY_PARAMETER))
}

/// Parameters that hold a key, of whatever provider, in lower case.
const KEY_PARAMETERS: [&str; 7] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "key",
    "oauth_token",
    "subscription-key",
];

/// Whether a parameter holds a key, however its name is spelt.
fn holds_a_key(parameter: &str) -> bool {
    let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
    let name = Endpoint::decoded(name).map(|name| name.to_ascii_lowercase());
    // What can't be decoded is nobody's parameter.
    name.is_none_or(|name| KEY_PARAMETERS.contains(&name.trim_start_matches('$')))
}

/// The parameters of the query that hold a key, by their names as they are spelt.
pub(super) fn key_parameters(headers: &Headers) -> Vec<String> {
    let (_, query) = split_path(headers);
    let all = query.unwrap_or("").split('&');
    let of_keys = all.filter(|parameter| holds_a_key(parameter));
    let names = of_keys.map(|parameter| parameter.split_once('=').map_or(parameter, |(n, _)| n));
    names.map(str::to_owned).collect()
}

/// The path as it is sent on, where a key stood in it.
pub(super) fn path_without_key(headers: &Headers) -> Option<String> {
    let (path, query) = split_path(headers);
    let query = query?;
    if !query.split('&').any(holds_a_key) {
        return None;
    }
    let others = query.split('&').filter(|parameter| !holds_a_key(parameter));
    let others = others.collect::<Vec<_>>().join("&");
    Some(match others.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{others}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(path: &str, others: &[(&str, &str)]) -> Headers {
        let all = [(":path", path)].into_iter().chain(others.iter().copied());
        all.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    const CHAT: &str = "/v1/chat/completions";
    const GEMINI: &str = "/v1beta/models/gemini-2.5-pro:generateContent";

    #[test]
    fn a_key_is_found_where_each_providers_clients_put_it() {
        use Credential::{Malformed, Missing, Several};
        let query = |query: &str| format!("{GEMINI}?{query}");
        for (path, others, expected) in [
            (CHAT, &[("authorization", "Bearer k")][..], Ok("k")),
            (CHAT, &[("authorization", "bearer  k")], Ok("k")),
            (CHAT, &[("api-key", "k")], Ok("k")),
            (CHAT, &[("x-api-key", "k")], Ok("k")),
            (GEMINI, &[("x-goog-api-key", "k")], Ok("k")),
            (&query("alt=sse&key=k"), &[], Ok("k")),
            (&query("key=k"), &[("x-goog-api-key", "k")], Ok("k")),
            (
                CHAT,
                &[("authorization", "Bearer k"), ("x-api-key", "k")],
                Ok("k"),
            ),
            (
                CHAT,
                &[("authorization", "Bearer k"), ("x-api-key", "l")],
                Err(Several),
            ),
            (CHAT, &[("api-key", "k"), ("x-api-key", "l")], Err(Several)),
            (
                CHAT,
                &[("x-api-key", "k"), ("x-api-key", "k")],
                Err(Several),
            ),
            (&query("key=k&key=l"), &[], Err(Several)),
            (
                &query("key=k"),
                &[("authorization", "Bearer l")],
                Err(Several),
            ),
            (CHAT, &[("authorization", "Basic k")], Err(Malformed)),
            (CHAT, &[("authorization", "Bearer k,l")], Err(Malformed)),
            (CHAT, &[("authorization", "")], Err(Malformed)),
            ("/v1/chat/completions?key=k", &[], Err(Missing)),
            (&query("apikey=k"), &[], Err(Missing)),
            (CHAT, &[], Err(Missing)),
        ] {
            let found = headers(path, others);
            let found = key(&found, &Places::default());
            assert_eq!(found, expected, "{path} {others:?}");
        }
    }

    #[test]
    fn a_key_in_the_query_is_not_sent_on() {
        for (query, expected) in [
            ("?key=k", Some("")),
            ("?alt=sse&key=k", Some("?alt=sse")),
            ("?key=k&alt=sse&x=%20", Some("?alt=sse&x=%20")),
            ("?key=k&key=l", Some("")),
            ("?alt=sse", None),
            ("", None),
        ] {
            let sent = path_without_key(&headers(&format!("{GEMINI}{query}"), &[]));
            let expected = expected.map(|rest| format!("{GEMINI}{rest}"));
            assert_eq!(sent, expected, "{query}");
        }
        for (path, sent) in [
            ("/v1/chat/completions?key=k", Some("/v1/chat/completions")),
            ("/v1beta/models?$key=k&x=1", Some("/v1beta/models?x=1")),
            ("/v1beta/models?%24KEY=k&%6bey=l", Some("/v1beta/models")),
            ("/v1/models?access_token=k", Some("/v1/models")),
            ("/v1/models?%zz=k", Some("/v1/models")),
            ("/v1/models?keys=k&monkey=1", None),
        ] {
            let found = path_without_key(&headers(path, &[]));
            assert_eq!(found.as_deref(), sent, "{path}");
        }
    }
}
