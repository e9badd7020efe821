//! Routes: which hosts, paths and routes of Envoy's they are for, and their names.

use crate::config::problem::{Findings, shown};
use crate::config::raw::Raw;
use crate::config::raw::routes::RawRoute;
use crate::config::reader::Located;
use crate::identity::scopes::Pattern;
use crate::policy::route::{EnvoyRoute, Host, ROUTES_MAX, Route};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// `None` after a problem.
pub fn resolve(raw: &Raw, findings: &Findings) -> Option<Vec<Route>> {
    let Some(written) = &raw.routes else {
        return Some(Vec::new());
    };
    if written.value.len() > ROUTES_MAX {
        let text = format!(
            "must have at most {ROUTES_MAX} routes (got {})",
            written.value.len()
        );
        findings.problem(&written.at, text);
        return None;
    }
    let routes = written.value.iter();
    let routes = routes.map(|raw| raw.as_ref().and_then(|raw| route(raw, findings)));
    let routes = routes.collect::<Vec<_>>();
    let are_named_once = names_once(&written.value, findings);
    let routes = routes.into_iter().collect();
    are_named_once.then_some(routes)?
}

/// The names that conditions may ask for; `None` where some can't be read.
pub fn names(raw: &Raw) -> Option<HashSet<&str>> {
    let all = raw.routes.as_ref().map_or(&[][..], |routes| &routes.value);
    all.iter().all(Option::is_some).then(|| {
        let named = all.iter().flatten().filter_map(|raw| raw.name.as_ref());
        named.map(|name| &*name.value).collect()
    })
}

fn names_once(all: &[Option<RawRoute>], findings: &Findings) -> bool {
    let mut first = HashMap::new();
    let mut once = true;
    for name in all.iter().flatten().filter_map(|raw| raw.name.as_ref()) {
        if let Some(earlier) = first.insert(&*name.value, &name.at) {
            let text = format!("{} is {} already", earlier.path, shown(&name.value));
            findings.problem(&name.at, text);
            once = false;
        }
    }
    once
}

fn route(raw: &RawRoute, findings: &Findings) -> Option<Route> {
    let host = raw.host.as_ref().map(|text| host(text, findings));
    let path = raw.path.as_ref().map(|text| path(text, findings));
    let envoy_route = raw.envoy_route.as_ref();
    let envoy_route = envoy_route.map(|text| of_envoy(text, findings));
    Some(Route {
        name: raw.name.as_ref().map(|name| Arc::clone(&name.value)),
        envoy_route: optional(envoy_route)?,
        host: optional(host)?,
        path: optional(path)?,
        credentials: optional(raw.credentials.clone())?.map(Arc::new),
        environment: raw.environment.as_ref().map(|name| Arc::clone(&name.value)),
        dialect: raw.dialect,
        pass_unknown: raw.pass_unknown,
        allow_upgrades: raw.allow_upgrades,
    })
}

/// The outer `None` where what was written is wrong.
fn optional<T>(written: Option<Option<T>>) -> Option<Option<T>> {
    match written {
        None => Some(None),
        Some(resolved) => resolved.map(Some),
    }
}

fn host(text: &Located<String>, findings: &Findings) -> Option<Host> {
    let (under, name) = match text.value.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, text.value.as_str()),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']');
    let is_address = name.starts_with('[') && name.ends_with(']');
    let well_formed = (is_address || name.chars().all(known)) && !name.is_empty();
    if !well_formed || name.len() > 255 {
        let rule = "must be a host without a port, as api.openai.com, or *.openai.azure.com";
        findings.problem(&text.at, format!("{rule} (got {})", shown(&text.value)));
        return None;
    }
    let name = name.to_ascii_lowercase();
    Some(match under {
        true => Host::Under(Arc::from(format!(".{name}"))),
        false => Host::Is(Arc::from(name)),
    })
}

/// By a name of Envoy's, or where it begins or ends.
fn of_envoy(text: &Located<String>, findings: &Findings) -> Option<EnvoyRoute> {
    let value = &text.value;
    let ending = value.strip_prefix('*').filter(|end| !end.is_empty());
    let pattern = match ending {
        Some(end) if !end.contains('*') => Some(EnvoyRoute::Ending(end.into())),
        Some(_) => None,
        None => Pattern::new(value).ok().map(EnvoyRoute::Named),
    };
    if pattern.is_none() {
        let rule = "must be the name of a route of Envoy's, or with one * the beginning or the \
                    end of names, as httproute/default/chat/*";
        findings.problem(&text.at, format!("{rule} (got {})", shown(value)));
    }
    pattern
}

fn path(text: &Located<String>, findings: &Findings) -> Option<Arc<str>> {
    let value = &text.value;
    if !value.starts_with('/') || value.contains(['?', '#', '*', ' ']) {
        let rule = "must begin with a slash, and have no query and no wildcard: it is for all \
                    paths below it";
        findings.problem(&text.at, format!("{rule} (got {})", shown(value)));
        return None;
    }
    Some(Arc::from(value.trim_end_matches('/')))
}
