//! Where two configurations differ.

use super::limits::of_limit;
use super::secrets::hidden_changed;
use super::{Shown, of_scopes};
use crate::identity::table::Entry;
use crate::policy::Snapshot;
use crate::pricing::date;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Something that differs between two configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// As plans.team.limits[0].amount.
    pub path: String,
    /// `None`: it isn't there.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// What differs, the first so many. Of a secret it is told only that it isn't the
/// same.
pub fn differences(before: &Shown, after: &Shown, max: usize) -> Vec<Difference> {
    let mut found = Vec::new();
    let (old, new) = (&before.value, &after.value);
    compare("", Some(old), Some(new), max, &mut found);
    let secrets = before.secrets.changed(&after.secrets);
    let room = max.saturating_sub(found.len());
    found.extend(secrets.take(room));
    found
}

/// Tenants that come, go, or change their plan, the first so many by name.
pub fn tenants_differ(before: &Snapshot, after: &Snapshot, max: usize) -> Vec<Difference> {
    let changed = before
        .tenants
        .iter()
        .filter(|(name, plan)| after.tenants.get(*name) != Some(*plan));
    let added = after
        .tenants
        .iter()
        .filter(|(name, _)| !before.tenants.contains_key(*name));
    let mut names: Vec<_> = changed.chain(added).map(|(name, _)| name).collect();
    names.sort();
    let plan = |of: &Snapshot, name| {
        of.tenants
            .get(name)
            .map(|tenant| json!({ "plan": *tenant.plan }))
    };
    let each = names.into_iter().take(max).map(|name| Difference {
        path: format!("tenants.{name}"),
        before: plan(before, name),
        after: plan(after, name),
    });
    each.collect()
}

/// Keys of the configuration that come, go, or become others, the first so many by
/// name. Keys that are stored elsewhere are not the configuration's.
pub fn keys_differ(before: &Snapshot, after: &Snapshot, max: usize) -> Vec<Difference> {
    let (old, new) = (&before.keys.configured, &after.keys.configured);
    let ids: BTreeSet<&Arc<str>> = old.iter().chain(new.iter()).map(Entry::id).collect();
    let mut found = Vec::new();
    for id in ids {
        let path = format!("identity.keys.{id}");
        let (key, other) = (old.by_id(id), new.by_id(id));
        let shown = |of: &Snapshot, key: Option<&Entry>| key.map(|key| of_key(of, key));
        let (from, to) = (shown(before, key), shown(after, other));
        let found_max = max.saturating_sub(found.len());
        if found_max == 0 {
            break;
        }
        compare(&path, from.as_ref(), to.as_ref(), max, &mut found);
        if let (Some(key), Some(other)) = (key, other)
            && !key.key().digest.is(&other.key().digest)
            && found.len() < max
        {
            found.push(hidden_changed(format!("{path}.hash")));
        }
    }
    found
}

/// All but its hash.
fn of_key(of: &Snapshot, entry: &Entry) -> Value {
    let key = entry.key();
    let account = &key.account;
    let labels = account.labels.iter().flat_map(|labels| labels.iter());
    let labels = labels.map(|(name, value)| (name.to_string(), json!(**value)));
    let limits = account.limits.as_ref();
    let limits = limits.and_then(|name| of.own_limits.get(name));
    let limits = limits.map(|limits| limits.iter().map(of_limit).collect::<Vec<_>>());
    json!({
        "tenant": *account.tenant,
        "project": account.project.as_deref(),
        "environment": account.environment.as_deref(),
        "user": key.user.as_deref(),
        "labels": labels.collect::<Map<_, _>>(),
        "scopes": account.scopes.as_deref().map(of_scopes),
        "limits": limits,
        "expires": key.ends_at.map(|at| date::Written(at).to_string()),
        "replaced": key.replaced,
    })
}

/// As deep as what is shown is.
fn compare(
    path: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    max: usize,
    found: &mut Vec<Difference>,
) {
    if before == after || found.len() >= max {
        return;
    }
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(added) {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{name}");
                compare(&path, before.get(name), after.get(name), max, found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                let path = format!("{path}[{index}]");
                compare(&path, before.get(index), after.get(index), max, found);
            }
        }
        _ => found.push(Difference {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}
