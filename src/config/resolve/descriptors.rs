//! The rules of the rate limit service: what each asks of a descriptor, and its
//! limits.

use super::limits;
use crate::config::problem::{At, Findings, Path};
use crate::config::raw::Raw;
use crate::config::raw::descriptors::{RawDomain, RawEntry, RawRule};
use crate::config::reader::Located;
use crate::limits::{CHARGES_MAX, Limit, Mode};
use crate::policy::descriptors::{Domain, Domains, Entry, Pattern, Rule};
use std::collections::HashMap;
use std::sync::Arc;

/// The most entries that a rule may ask for. Rules are found by walking as deep.
const ENTRIES_MAX: usize = 16;

/// All domains; `None` after a problem.
pub fn resolve(raw: &Raw, findings: &Findings) -> Option<Domains> {
    let mut domains = Domains::default();
    let Some(written) = &raw.domains else {
        return Some(domains);
    };
    if written.value.is_empty() {
        findings.problem(&written.at, "must have at least one domain");
    }
    let mut whole = true;
    for raw in &written.value {
        match domain(raw, findings) {
            Some(domain) => domains.insert(Arc::clone(&raw.name.value), domain),
            None => whole = false,
        }
    }
    whole.then_some(domains)
}

fn domain(raw: &RawDomain, findings: &Findings) -> Option<Domain> {
    let rules = raw.rules.as_ref()?;
    if rules.value.is_empty() {
        findings.problem(&rules.at, "must have at least one rule");
    }
    let mode = raw.mode.as_ref().map(|mode| mode.value).unwrap_or_default();
    let mut domain = Domain::new(&raw.name.value, mode);
    let mut places: HashMap<Vec<Entry>, &Path> = HashMap::new();
    let mut whole = true;
    for raw in &rules.value {
        let (pattern, limits) = (pattern(raw, findings), of_rule(raw, mode, findings));
        let Some((pattern, limits)) = pattern.zip(limits) else {
            whole = false;
            continue;
        };
        if let Some(first) = places.get(&pattern) {
            let text = format!("{first} matches the same descriptors; put its limits together");
            findings.problem(&raw.at, text);
        } else {
            let on_done = raw.on_done.as_ref().is_some_and(|on_done| on_done.value);
            domain.add(&pattern, Rule::new(limits, on_done));
            places.insert(pattern, &raw.at.path);
        }
    }
    whole.then_some(domain)
}

fn pattern(raw: &RawRule, findings: &Findings) -> Option<Vec<Entry>> {
    let entries = raw.entries.as_ref()?;
    let count = entries.value.len();
    if count == 0 || count > ENTRIES_MAX {
        let text = format!("must have 1 to {ENTRIES_MAX} entries (got {count})");
        findings.problem(&entries.at, text);
        return None;
    }
    let read: Vec<Option<Entry>> = entries
        .value
        .iter()
        .map(|raw| entry(raw, findings))
        .collect();
    read.into_iter().collect()
}

fn entry(raw: &RawEntry, findings: &Findings) -> Option<Entry> {
    let value = match &raw.value {
        Some(written) => value(written, findings),
        None => Some(Pattern::Any),
    };
    Some(Entry {
        key: Arc::clone(&raw.key.as_ref()?.value),
        value: value?,
    })
}

fn value(written: &Located<String>, findings: &Findings) -> Option<Pattern> {
    let (start, wild) = match written.value.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (written.value.as_str(), false),
    };
    if start.contains('*') {
        let text = "may have a * only at its end, for any value that begins with the rest";
        findings.problem(&written.at, text);
        return None;
    }
    Some(match (start, wild) {
        ("", true) => Pattern::Any,
        (prefix, true) => Pattern::Prefix(prefix.into()),
        (exact, false) => Pattern::Exact(exact.into()),
    })
}

/// A rule's limits; none where it only lets through.
fn of_rule(raw: &RawRule, mode: Mode, findings: &Findings) -> Option<Vec<Limit>> {
    let unlimited = raw.unlimited.as_ref().filter(|unlimited| unlimited.value);
    if let (Some(_), Some(on_done)) = (unlimited, &raw.on_done) {
        findings.problem(&on_done.at, "has no meaning with unlimited: true");
    }
    let Some(written) = &raw.limits else {
        if unlimited.is_none() && raw.is_read {
            let at = At {
                place: raw.at.place,
                path: raw.at.path.field("limits"),
            };
            findings.problem(&at, "is required, or unlimited: true");
        }
        return (unlimited.is_some() && raw.is_read).then(Vec::new);
    };
    if unlimited.is_some() {
        findings.problem(&written.at, "has no meaning with unlimited: true");
    }
    let count = written.value.len();
    if count == 0 || count > CHARGES_MAX {
        let text = format!("must have 1 to {CHARGES_MAX} limits (got {count})");
        findings.problem(&written.at, text);
    }
    let mut names = HashMap::new();
    let mut whole = raw.is_read;
    let mut resolved = Vec::with_capacity(count);
    for raw in &written.value {
        limits::name_once(raw, &mut names, findings);
        match limits::of_descriptors(raw, findings) {
            Some(limit) if mode == Mode::Shadow => resolved.push(Limit { mode, ..limit }),
            Some(limit) => resolved.push(limit),
            None => whole = false,
        }
    }
    whole.then_some(resolved)
}
