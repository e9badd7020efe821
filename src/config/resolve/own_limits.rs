//! The limits that keys have besides their plan's.

use super::accounts::Tenants;
use super::limits::{Known, name_once, of_plan};
use super::plans::Policy;
use super::tenants;
use crate::config::problem::Findings;
use crate::config::raw::RawKey;
use crate::config::raw::limits::RawLimit;
use crate::config::reader::Located;
use crate::limits::{CHARGES_MAX, Dimension, Limit};
use crate::policy::{ByName, Model, PlanLimit};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What the names of limits begin with that are a key's own.
const OWN_PREFIX: &str = "own:";

/// What the names of limits begin with that grants are counted by.
const GRANT_PREFIX: &str = "grant:";

/// The most limits of a key's own: each is looked at in each of its calls.
const OWN_LIMITS_MAX: usize = 8;

/// `None` after reporting that a limit is named as if it were a key's own: their
/// counters would be the same.
pub fn not_named_alike(raw: &RawLimit, findings: &Findings) -> Option<()> {
    let Some(name) = &raw.name else {
        return Some(());
    };
    let mut taken = std::iter::once(OWN_PREFIX)
        .chain([GRANT_PREFIX])
        .chain(tenants::PREFIXES);
    let Some(taken) = taken.find(|prefix| name.value.starts_with(prefix)) else {
        return Some(());
    };
    let whose = match taken {
        OWN_PREFIX => "of keys",
        GRANT_PREFIX => "of grants",
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
    headers: Option<&[Arc<str>]>,
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
            let others = plan.map_or(0, |plan| plan.limits.len()) + policy.shared.len();
            if written.value.len() + others > CHARGES_MAX {
                let text = format!(
                    "with the {others} limits of its plan there must be at most {CHARGES_MAX}"
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

/// What a configured key's own limits are known by. Those of stored keys are known
/// by their text, which is a list.
pub fn name(id: &str) -> Arc<str> {
    format!("identity.keys {id}").into()
}
