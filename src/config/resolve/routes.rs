//! Routes: which hosts and paths they are for.

use crate::config::problem::{Findings, shown};
use crate::config::raw::Raw;
use crate::config::raw::routes::RawRoute;
use crate::config::reader::Located;
use crate::policy::route::{Host, ROUTES_MAX, Route};
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
    let routes = written.value.iter().map(|raw| route(raw, findings));
    routes.collect::<Vec<_>>().into_iter().collect()
}

fn route(raw: &RawRoute, findings: &Findings) -> Option<Route> {
    let host = raw.host.as_ref().map(|text| host(text, findings));
    let path = raw.path.as_ref().map(|text| path(text, findings));
    Some(Route {
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
