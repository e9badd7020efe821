//! What stands below the plans of tenants.
//!
//! Each is a plan of its own. Its limits count within what it is for, and have names
//! that no limit of the tenant's plan has.

use super::extends::{Chain, Plans, unknown_plan};
use super::plans::{Ground, plan};
use crate::config::raw::Raw;
use crate::config::raw::tenants::{RawBelow, RawNarrow, RawProject, RawTenant};
use crate::limits::{CHARGES_MAX, Dimension, Limit, Scope};
use crate::policy::charged::Charged;
use crate::policy::rule::Rules;
use crate::policy::terms::{Narrower, Project};
use crate::policy::{ByName, Plan, PlanLimit};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The places below a plan: what the names of their limits begin with, and within
/// what they count.
struct Place {
    prefix: &'static str,
    within: &'static [Dimension],
}

const TENANT: Place = Place {
    prefix: "tenant:",
    within: &[],
};
const PROJECT: Place = Place {
    prefix: "project:",
    within: &[Dimension::Project],
};
const ENVIRONMENT: Place = Place {
    prefix: "environment:",
    within: &[Dimension::Environment],
};
const PROJECT_ENVIRONMENT: Place = Place {
    prefix: "project-environment:",
    within: &[Dimension::Project, Dimension::Environment],
};
const USER: Place = Place {
    prefix: "user:",
    within: &[Dimension::User],
};

/// What names of limits must not begin with, as those of other places do.
pub const PREFIXES: [&str; 5] = [
    TENANT.prefix,
    PROJECT.prefix,
    ENVIRONMENT.prefix,
    PROJECT_ENVIRONMENT.prefix,
    USER.prefix,
];

type Resolved = ByName<Arc<Plan>>;

/// What builds the plans below.
struct Builder<'a, 'r> {
    written: &'a Plans<'r>,
    ground: &'a Ground<'a>,
}

/// What stands below the plan of each tenant that has something there; `None` after
/// a problem.
pub fn narrower(
    raw: &Raw,
    written: &Plans,
    plans: &Resolved,
    ground: &Ground,
) -> Option<HashMap<Arc<str>, Arc<Narrower>>> {
    let tenants = raw
        .tenants
        .as_ref()
        .map_or(&[][..], |tenants| &tenants.value);
    let builder = Builder { written, ground };
    let mut all = HashMap::new();
    let mut whole = true;
    for tenant in tenants {
        whole &= tenant.is_read;
        let Some(below) = &tenant.below else { continue };
        match builder.below(below) {
            Some(narrower) => {
                whole &= has_room(tenant, &narrower, plans, ground);
                all.insert(Arc::clone(&tenant.name.value), Arc::new(narrower));
            }
            None => whole = false,
        }
    }
    whole.then_some(all)
}

/// The plans that are named below those of tenants.
pub fn plans_named(raw: &Raw) -> HashSet<&str> {
    let tenants = raw.tenants.iter().flat_map(|tenants| &tenants.value);
    let below = tenants.filter_map(|tenant| tenant.below.as_deref());
    let narrows = below.flat_map(|below| {
        let projects = below.projects.iter();
        let of_projects =
            projects.flat_map(|project| std::iter::once(&project.own).chain(&project.environments));
        let others = below.environments.iter().chain(&below.users);
        of_projects.chain(others)
    });
    let plans = narrows.filter_map(|narrow| narrow.plan.as_ref());
    plans.map(|plan| &*plan.value).collect()
}

/// Whether a call can be charged to all limits that may apply to it.
fn has_room(tenant: &RawTenant, narrower: &Narrower, plans: &Resolved, ground: &Ground) -> bool {
    let named = tenant.plan.as_ref().and_then(|name| plans.get(&name.value));
    let of = |plan: Option<&Arc<Plan>>| plan.map_or(Charged::default(), |p| Charged::of_plan(p));
    let each = |plans: &Resolved| {
        let each = plans.values().map(|plan| Charged::of_plan(plan));
        each.fold(Charged::default(), Charged::or)
    };
    let projects = narrower.projects.values();
    let projects = projects.map(|p| of(p.plan.as_ref()).and(each(&p.environments)));
    let shared = ground.top.iter().map(|(_, limit)| limit);
    let shared = shared.filter(|limit| limit.limit.scope.is_shared());
    let count = of(named)
        .and(Charged::of(shared))
        .and(of(narrower.tenant.as_ref()))
        .and(each(&narrower.environments))
        .and(projects.fold(Charged::default(), Charged::or))
        .and(each(&narrower.users))
        .most();
    if count > CHARGES_MAX {
        let text = format!(
            "a call could be charged to {count} limits of the plan and of what stands below it: \
             at most {CHARGES_MAX} may apply"
        );
        ground.findings.problem(&tenant.name.at, text);
    }
    count <= CHARGES_MAX
}

impl<'r> Builder<'_, 'r> {
    fn below(&self, raw: &'r RawBelow) -> Option<Narrower> {
        let tenant = match &raw.own {
            Some(own) => {
                let built = plan(&own.name, &Chain::alone(own), &self.below_ground());
                Some(Arc::new(placed(built?, &TENANT)))
            }
            None => None,
        };
        let projects = raw.projects.iter().map(|raw| {
            let name = Arc::clone(&raw.own.name.value);
            Some((name, self.project(raw)?))
        });
        let projects: Vec<Option<_>> = projects.collect();
        let environments = self.all(&raw.environments, &ENVIRONMENT);
        let users = self.all(&raw.users, &USER);
        Some(Narrower {
            tenant,
            projects: projects.into_iter().collect::<Option<_>>()?,
            environments: environments?,
            users: users?,
        })
    }

    fn project(&self, raw: &'r RawProject) -> Option<Project> {
        let own = self.one(&raw.own, &PROJECT);
        let environments = self.all(&raw.environments, &PROJECT_ENVIRONMENT);
        Some(Project {
            plan: own?,
            environments: environments?,
        })
    }

    fn all(&self, raw: &'r [RawNarrow], place: &Place) -> Option<Resolved> {
        let built: Vec<Option<_>> = raw
            .iter()
            .map(|raw| {
                let plan = self.one(raw, place)?;
                Some(plan.map(|plan| (Arc::clone(&raw.name.value), plan)))
            })
            .collect();
        let built = built.into_iter().collect::<Option<Vec<_>>>()?;
        Some(built.into_iter().flatten().collect())
    }

    /// The inner `None` where nothing is said but that it is there.
    fn one(&self, raw: &'r RawNarrow, place: &Place) -> Option<Option<Arc<Plan>>> {
        let findings = self.ground.findings;
        let chain = match (&raw.plan, &raw.own) {
            (None, None) => return Some(None),
            (None, Some(own)) => Chain::alone(own),
            (Some(named), own) => {
                let Some(written) = self.written.get(&*named.value) else {
                    unknown_plan(named, self.written, findings);
                    return None;
                };
                let chain = Chain::of(written, self.written, findings)?;
                match own {
                    Some(own) => chain.and(own),
                    None => chain,
                }
            }
        };
        let built = plan(&raw.name, &chain, &self.below_ground())?;
        Some(Some(Arc::new(placed(built, place))))
    }

    /// The limits beside the plans are charged by the tenant's plan.
    fn below_ground(&self) -> Ground<'_> {
        Ground {
            top: &[],
            is_below: true,
            ..*self.ground
        }
    }
}

/// A plan as it counts below another.
fn placed(plan: Plan, place: &Place) -> Plan {
    let named = |name: &str| -> Arc<str> { format!("{}{name}", place.prefix).into() };
    let limits = plan.limits.into_iter().map(|limit| {
        let own = Limit {
            name: named(&limit.limit.name),
            scope: within(limit.limit.scope, place.within),
            ..Limit::clone(&limit.limit)
        };
        PlanLimit {
            limit: Arc::new(own),
            ..limit
        }
    });
    let names: Arc<[Arc<str>]> = plan.rules.names.iter().map(|name| named(name)).collect();
    Plan {
        limits: limits.collect(),
        rules: Rules {
            time_zone: plan.time_zone.clone(),
            ..Rules::new(plan.rules.list, names)
        },
        ..plan
    }
}

fn within(scope: Scope, more: &[Dimension]) -> Scope {
    Scope::of(scope.dimensions().chain(more.iter().copied()))
}
