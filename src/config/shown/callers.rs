//! How callers are known, and where their calls may go.

use crate::expressions::Expression;
use crate::identity::Scopes;
use crate::identity::scopes::Pattern;
use crate::identity::source::{Caller, Mapping, Places, Source, Trusted};
use crate::policy::route::{EnvoyRoute, Host, Route};
use serde_json::{Map, Value, json};

pub(super) fn of_route(route: &Route) -> Value {
    let host = route.host.as_ref().map(|host| match host {
        Host::Is(name) => name.to_string(),
        Host::Under(suffix) => format!("*{suffix}"),
    });
    let envoy_route = route.envoy_route.as_ref().map(|name| match name {
        EnvoyRoute::Named(pattern) => pattern.as_str().to_owned(),
        EnvoyRoute::Ending(end) => format!("*{end}"),
    });
    json!({
        "name": route.name.as_deref(),
        "envoy_route": envoy_route,
        "host": host,
        "path": route.path.as_deref(),
        "environment": route.environment.as_deref(),
        "credentials": route.credentials.as_deref().map(of_places),
        "dialect": route.dialect.map(|dialect| dialect.as_str()),
        "unknown_endpoints": if route.pass_unknown { "pass" } else { "refuse" },
        "upgrades": if route.allow_upgrades { "allow" } else { "refuse" },
    })
}

fn of_places(places: &Places) -> Value {
    let named = [
        ("authorization", places.authorization),
        ("api-key", places.api_key),
        ("x-api-key", places.x_api_key),
        ("x-goog-api-key", places.x_goog_api_key),
        ("query", places.query),
    ];
    let named = named.into_iter().filter(|(_, is_one)| *is_one);
    let headers = places.headers.iter().map(|name| &**name);
    json!(
        named
            .map(|(name, _)| name)
            .chain(headers)
            .collect::<Vec<_>>()
    )
}

pub(super) fn of_source(source: &Source) -> Value {
    match source {
        Source::Key(places) => json!({ "api_key": { "from": of_places(places) } }),
        Source::Token(token) => json!({ "jwt": {
            "payload": *token.payload,
            "issuers": token.issuers,
            "mapping": of_mapping(&token.mapping),
        } }),
        Source::Mesh(mesh) => json!({ "mesh": {
            "peers": texts(&mesh.peers),
            "proxies": mesh.proxies.as_ref().map(of_trusted),
            "mapping": of_mapping(&mesh.mapping),
        } }),
        Source::Headers(headers) => json!({ "headers": {
            "gateway": of_trusted(&headers.gateway),
            "names": headers.names,
            "mapping": of_mapping(&headers.mapping),
        } }),
        Source::Anonymous(caller) => json!({ "anonymous": of_caller(caller) }),
    }
}

fn of_caller(caller: &Caller) -> Value {
    json!({
        "tenant": *caller.account.tenant,
        "project": caller.account.project.as_deref(),
        "environment": caller.account.environment.as_deref(),
        "user": caller.user.as_deref(),
    })
}

fn of_mapping(mapping: &Mapping) -> Value {
    let text = |expression: &Option<Expression>| {
        let expression = expression.as_ref();
        expression.map(|expression| expression.as_str().to_owned())
    };
    let labels = mapping.labels.iter();
    let labels = labels.map(|(name, value)| (name.to_string(), json!(value.as_str())));
    json!({
        "name": *mapping.id,
        "tenant": mapping.tenant.as_str(),
        "project": text(&mapping.project),
        "environment": text(&mapping.environment),
        "user": text(&mapping.user),
        "labels": labels.collect::<Map<_, _>>(),
    })
}

fn of_trusted(trusted: &Trusted) -> Value {
    json!({ "addresses": words(&trusted.addresses), "names": texts(&trusted.names) })
}

pub(super) fn of_scopes(scopes: &Scopes) -> Value {
    json!({
        "models": texts(&scopes.models),
        "endpoints": texts(&scopes.endpoints),
        "addresses": words(&scopes.addresses),
        "environments": scopes.environments,
    })
}

pub(super) fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::as_str).collect()
}

fn words(all: &[impl ToString]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}
