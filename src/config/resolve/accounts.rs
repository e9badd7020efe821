//! Tenants and the keys that call on their account.

use crate::config::Outside;
use crate::config::problem::{Findings, looks_like_key, nearest, shown};
use crate::config::raw::{Raw, RawKey, RawTenant};
use crate::config::reader::Located;
use crate::config::secret::{Secret, read_pepper};
use crate::identity::{KeyDigest, KeyTable, Principal};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Each tenant's plan, where it names one that exists.
type PlanOf<'r> = HashMap<&'r str, Option<Arc<str>>>;

/// The table of all keys; `None` after a problem.
pub fn keys(raw: &Raw, outside: &dyn Outside, findings: &Findings) -> Option<KeyTable> {
    let pepper = raw.pepper.as_ref().and_then(|source| {
        read_pepper(&source.value, outside)
            .map_err(|error| findings.problem(&source.at, error.to_string()))
            .ok()
    });
    let plan_of = tenants(raw, findings);
    let keys = raw.keys.as_ref()?;
    if keys.value.is_empty() {
        let text = "must have at least one key, or nobody can call";
        findings.problem(&keys.at, text);
    }
    let principals = principals(&keys.value, &plan_of, findings);
    warn_of_idle_tenants(raw, &keys.value, findings);
    let mut table = KeyTable::new(pepper?);
    for (digest, principal) in principals? {
        // Doubles have been reported, with the place of the first.
        table.insert(digest, Arc::new(principal)).ok()?;
    }
    Some(table)
}

fn tenants<'r>(raw: &'r Raw, findings: &Findings) -> PlanOf<'r> {
    let Some(tenants) = &raw.tenants else {
        return PlanOf::new();
    };
    if tenants.value.is_empty() {
        findings.problem(&tenants.at, "must have at least one tenant");
    }
    let plans: Option<HashMap<&str, &Arc<str>>> = raw.plans.as_ref().map(|plans| {
        let names = plans.value.iter().map(|plan| &plan.name.value);
        names.map(|name| (&**name, name)).collect()
    });
    let plan = |tenant: &RawTenant| {
        let named = tenant.plan.as_ref()?;
        // Plans that couldn't be read have been reported.
        let known = plans.as_ref()?;
        let plan = known.get(&*named.value).map(|name| Arc::clone(name));
        if plan.is_none() {
            unknown("plan", named, known.keys().copied(), findings);
        }
        plan
    };
    tenants
        .value
        .iter()
        .map(|tenant| (&*tenant.name.value, plan(tenant)))
        .collect()
}

/// All principals; `None` where one of them has a problem.
fn principals(
    keys: &[RawKey],
    plan_of: &PlanOf,
    findings: &Findings,
) -> Option<Vec<(KeyDigest, Principal)>> {
    let mut ids = HashMap::new();
    let mut digests = HashMap::new();
    let mut principals = Some(Vec::with_capacity(keys.len()));
    for key in keys {
        if let Some(id) = &key.id {
            once(id, Arc::clone(&id.value), &mut ids, "id", findings);
        }
        let digest = key.hash.as_ref().and_then(|hash| {
            let digest = digest(hash, findings)?;
            once(hash, digest, &mut digests, "hash", findings);
            Some(digest)
        });
        let plan = key.tenant.as_ref().and_then(|tenant| {
            let plan = plan_of.get(&*tenant.value);
            // A file without readable tenants has been reported as that.
            if plan.is_none() && !plan_of.is_empty() {
                unknown("tenant", tenant, plan_of.keys().copied(), findings);
            }
            plan?.clone()
        });
        match (principal(key, plan).zip(digest), &mut principals) {
            (Some((principal, digest)), Some(all)) => all.push((digest, principal)),
            _ => principals = None,
        }
    }
    principals
}

fn principal(key: &RawKey, plan: Option<Arc<str>>) -> Option<Principal> {
    Some(Principal {
        tenant: Arc::clone(&key.tenant.as_ref()?.value),
        project: key.project.as_ref().map(|name| Arc::clone(&name.value)),
        environment: key.environment.as_ref().map(|name| Arc::clone(&name.value)),
        user: key.user.as_ref().map(|name| Arc::clone(&name.value)),
        key_id: Arc::clone(&key.id.as_ref()?.value),
        plan: plan?,
    })
}

/// Reports a value that an earlier key has already.
fn once<T, V: std::hash::Hash + Eq>(
    written: &Located<T>,
    value: V,
    lines: &mut HashMap<V, u32>,
    what: &str,
    findings: &Findings,
) {
    let line = written.at.place.map_or(0, |place| place.line);
    match lines.get(&value) {
        Some(first) => findings.problem(
            &written.at,
            format!("another key has this {what} (in line {first})"),
        ),
        None => {
            lines.insert(value, line);
        }
    }
}

fn digest(hash: &Located<Secret>, findings: &Findings) -> Option<KeyDigest> {
    let text = hash.value.expose();
    let digest = KeyDigest::from_hex(text);
    if digest.is_none() {
        findings.problem(
            &hash.at,
            if looks_like_key(text) {
                "is a key itself, not its hash: it must be replaced by a new one, of which \
                 `weir keys hash` prints the hash"
                    .to_owned()
            } else {
                let len = text.chars().count();
                format!(
                    "must be 64 hexadecimal digits, as `weir keys hash` prints them (got {len} \
                     characters)"
                )
            },
        );
    }
    digest
}

fn unknown<'c>(
    what: &str,
    named: &Located<Arc<str>>,
    known: impl Iterator<Item = &'c str>,
    findings: &Findings,
) {
    let hint = if findings.is_full() {
        None
    } else {
        nearest(&named.value, known)
    };
    let hint = hint
        .map(|name| format!("; did you mean {}?", shown(name)))
        .unwrap_or_default();
    let text = format!("there is no {what} {}{hint}", shown(&named.value));
    findings.problem(&named.at, text);
}

fn warn_of_idle_tenants(raw: &Raw, keys: &[RawKey], findings: &Findings) {
    let called: HashSet<&str> = keys
        .iter()
        .filter_map(|key| Some(&*key.tenant.as_ref()?.value))
        .collect();
    for tenant in raw.tenants.iter().flat_map(|tenants| &tenants.value) {
        if !called.contains(&*tenant.name.value) {
            findings.warning(&tenant.name.at, "no key belongs to this tenant");
        }
    }
}
