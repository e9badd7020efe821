//! The limits that keys have besides their plan's.

use super::accounts::Tenants;
use super::limits::{Known, name_once, of_plan};
use super::plans::Policy;
use super::tenants;
use crate::config::problem::Findings;
use crate::config::raw::RawKey;
use crate::config::raw::limits::RawLimit;
use crate::config::reader::Located;
use crate::limits::throttled::THROTTLED;
use crate::limits::{CHARGES_MAX, Dimension, Limit};
use crate::policy::charged::Charged;
use crate::policy::grants::GRANT_PREFIX;
use crate::policy::{ByName, Model, Plan, PlanLimit};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What the names of limits begin with that are a key's own.
const OWN_PREFIX: &str = "own:";

/// The most limits of a key's own: each is looked at in each of its calls.
const OWN_LIMITS_MAX: usize = 8;

/// `None` after reporting that a limit is named as if it were a key's own: their
/// counters would be the same.
pub fn not_named_alike(raw: &RawLimit, findings: &Findings) -> Option<()> {
    let Some(name) = &raw.name else {
        return Some(());
    };
    let mut taken = std::iter::once(OWN_PREFIX)
        .chain([GRANT_PREFIX, THROTTLED])
        .chain(tenants::PREFIXES);
    let Some(taken) = taken.find(|prefix| name.value.starts_with(prefix)) else {
        return Some(());
    };
    let whose = match taken {
        OWN_PREFIX => "of keys",
        GRANT_PREFIX => "of grants",
        THROTTLED => "of calls that are slowed down",
        _ => "that stand below a plan",
    };
    let text = format!("must not begin with {taken:?}: so begin those {whose}");
    findings.problem(&name.at, text);
    None
}

/// The limits that a key has besides its plan's; `None` after a problem.
pub fn of_key(
    written: &Located<Vec<RawLimit>>,
    known: &Known,
    findings: &Findings,
) -> Option<Vec<PlanLimit>> {
    let count = written.value.len();
    let mut whole = (1..=OWN_LIMITS_MAX).contains(&count);
    if !whole {
        let text = format!("must have 1 to {OWN_LIMITS_MAX} limits, or be left out (got {count})");
        findings.problem(&written.at, text);
    }
    let mut names = HashMap::new();
    let mut resolved = Vec::with_capacity(count);
    for raw in &written.value {
        name_once(raw, &mut names, findings);
        let of_keys = raw.scope.as_ref().is_none_or(|scope| {
            let is_key = scope.value == [Dimension::Key];
            if !is_key {
                let text = "must be key: a limit of a key counts that key's calls alone";
                findings.problem(&scope.at, text);
            }
            is_key
        });
        match of_plan(raw, known, findings) {
            Some(limit) if of_keys => resolved.push(PlanLimit {
                limit: Arc::new(Limit {
                    // A plan's limit per key may have the same name, and another count.
                    name: format!("{OWN_PREFIX}{}", limit.limit.name).into(),
                    ..Limit::clone(&limit.limit)
                }),
                ..limit
            }),
            _ => whole = false,
        }
    }
    whole.then_some(resolved)
}

/// The limits of keys, under a name of each; `None` after a problem.
pub fn of_keys(
    keys: &[RawKey],
    policy: Option<&Policy>,
    tenants: &Tenants,
    (headers, routes): (Option<&[Arc<str>]>, Option<&HashSet<&str>>),
    findings: &Findings,
) -> Option<ByName<Arc<[PlanLimit]>>> {
    let models: Option<Vec<Model>> = policy.map(|policy| {
        let models = policy.models.values();
        models.map(|model| Model::clone(model)).collect()
    });
    let plans = policy.map(|policy| policy.plans.keys().map(|name| &**name).collect());
    let known = Known {
        models: models.as_deref(),
        told_prices: &HashSet::new(),
        plans: plans.as_ref(),
        headers,
        routes,
    };
    let mut all = Some(ByName::default());
    for key in keys {
        let Some(written) = &key.attributes.limits else {
            continue;
        };
        let limits = of_key(written, &known, findings);
        if let (Some(policy), Some(tenant)) = (policy, &key.attributes.tenant) {
            let plan = tenants.plan_of(&tenant.value);
            let plan = plan.and_then(|plan| policy.plans.get(plan));
            let below = below(key, policy, &tenant.value);
            let others = plan.into_iter().chain(below);
            let others = others.map(|plan| Charged::of_plan(plan));
            let others = others.fold(Charged::of(&*policy.shared), Charged::and);
            let own = limits.as_deref().unwrap_or_default();
            let (count, own) = (others.and(Charged::of(own)).most(), own.len());
            if count > CHARGES_MAX {
                let others = count - own;
                let text = format!(
                    "with the {others} that it has by its plan there must be at most {CHARGES_MAX} limits"
                );
                findings.problem(&written.at, text);
            }
        }
        match (&key.id, limits, &mut all) {
            (Some(id), Some(limits), Some(all)) => {
                all.insert(name(&id.value), limits.into());
            }
            _ => all = None,
        }
    }
    all
}

/// What stands below its tenant's plan for a key's calls.
fn below<'p>(
    key: &RawKey,
    policy: &'p Policy,
    tenant: &str,
) -> impl Iterator<Item = &'p Arc<Plan>> {
    let narrower = policy.narrower.get(tenant);
    let below = narrower.map(|narrower| {
        let name =
            |name: &Option<Located<Arc<str>>>| name.as_ref().map(|name| Arc::clone(&name.value));
        let (project, user) = (name(&key.attributes.project), name(&key.attributes.user));
        let environment = name(&key.attributes.environment);
        narrower.below(project.as_deref(), environment.as_deref(), user.as_deref())
    });
    below.into_iter().flatten().flatten()
}

/// What a configured key's own limits are known by. Those of stored keys are known
/// by their text, which is a list.
pub fn name(id: &str) -> Arc<str> {
    format!("identity.keys {id}").into()
}
