//! Every limit that counts, and whose it is.

use crate::ledger::store::measure::Dimension as Name;
use crate::policy::{Plan, PlanLimit, Snapshot};
use std::sync::Arc;

/// Whom something stands below a plan for, by names of the ledger.
pub(super) type Below = Vec<(Name, Arc<str>)>;

/// A limit, and whose it is.
pub(super) struct Source<'s> {
    pub plan: Option<&'s Arc<str>>,
    pub own: Option<&'s Arc<str>>,
    pub below: Option<Below>,
    pub limit: &'s PlanLimit,
}

/// Every limit, and whose it is: of plans, of all tenants, of keys, of what stands
/// below plans.
pub(super) fn sources(snapshot: &Snapshot) -> impl Iterator<Item = Source<'_>> {
    let mut plans: Vec<_> = snapshot.plans.values().collect();
    plans.sort_by(|a, b| a.name.cmp(&b.name));
    let of_plans = plans
        .into_iter()
        .flat_map(|plan| plan.limits.iter().map(|limit| (Some(&plan.name), limit)));
    let shared = snapshot.shared.iter().map(|limit| (None, limit));
    let source = |(plan, limit)| Source {
        plan,
        own: None,
        below: None,
        limit,
    };
    let of_keys = of_keys(snapshot).into_iter().map(|(own, limit)| Source {
        plan: None,
        own: Some(own),
        below: None,
        limit,
    });
    let of_plans = of_plans.chain(shared).map(source);
    of_plans.chain(of_keys).chain(of_below(snapshot))
}

/// Each limit of what stands below the plan of a tenant, in the order of their names.
fn of_below<'s>(snapshot: &'s Snapshot) -> Vec<Source<'s>> {
    let mut all = Vec::new();
    for (name, tenant) in &*snapshot.tenants {
        let Some(narrower) = &tenant.narrower else {
            continue;
        };
        let mut add = |plan: &'s Arc<Plan>, whose: &[(Name, &Arc<str>)]| {
            let tenant_itself = (Name::Tenant, name);
            let whose = std::iter::once(&tenant_itself).chain(whose);
            let below: Below = whose.map(|(of, name)| (*of, Arc::clone(name))).collect();
            let limits = plan.limits.iter().map(|limit| Source {
                plan: Some(&tenant.plan),
                own: None,
                below: Some(below.clone()),
                limit,
            });
            all.extend(limits);
        };
        narrower.tenant.iter().for_each(|plan| add(plan, &[]));
        for (environment, plan) in &narrower.environments {
            add(plan, &[(Name::Environment, environment)]);
        }
        for (project, of) in &narrower.projects {
            let project = (Name::Project, project);
            of.plan.iter().for_each(|plan| add(plan, &[project]));
            for (environment, plan) in &of.environments {
                add(plan, &[project, (Name::Environment, environment)]);
            }
        }
        for (user, plan) in &narrower.users {
            add(plan, &[(Name::User, user)]);
        }
    }
    all.sort_by(|a, b| a.below.cmp(&b.below));
    all
}

/// Each limit of keys' own, by the name that keys know it by.
fn of_keys(snapshot: &Snapshot) -> Vec<(&Arc<str>, &PlanLimit)> {
    let mut all: Vec<_> = snapshot
        .own_limits
        .iter()
        .flat_map(|(own, limits)| limits.iter().map(move |limit| (own, limit)))
        .collect();
    // The order of a map's entries is nobody's.
    all.sort_by_key(|(own, _)| *own);
    all
}
