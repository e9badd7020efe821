//! What applies to a caller: its tenant's plan, and whatever stands below that for
//! the tenant, its project, environment and user.
//!
//! Always holds: what stands below only narrows. Limits of all of them are charged,
//! lists of what may be used must all allow, the smallest bound counts. So no child
//! exceeds its parent, whatever either says.

use super::charged::Charged;
use super::plan::{OutputRule, Plan};
use super::rule::Rules;
use super::{ByName, Model, PlanLimit, Snapshot};
use crate::identity::Principal;
use crate::protocol::Endpoint;
use std::collections::HashMap;
use std::sync::Arc;

/// The most plans that stand one below the other for a call.
pub const LAYERS_MAX: usize = 5;

/// The place among what stands below a plan ([`Terms::below`]) of a project's
/// environment.
pub const WITHIN_PROJECT: usize = 3;

/// A tenant: its plan, and what stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub plan: Arc<str>,
    /// Most have none.
    pub narrower: Option<Arc<Narrower>>,
}

/// What stands below a tenant's plan, each as a plan of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrower {
    pub tenant: Option<Arc<Plan>>,
    pub projects: HashMap<Arc<str>, Project>,
    pub environments: ByName<Arc<Plan>>,
    pub users: ByName<Arc<Plan>>,
}

/// What stands below a tenant's plan for one of its projects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Project {
    pub plan: Option<Arc<Plan>>,
    pub environments: ByName<Arc<Plan>>,
}

/// What applies to a caller, the widest first.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'s> {
    plan: &'s Arc<Plan>,
    below: [Option<&'s Arc<Plan>>; LAYERS_MAX],
}

/// On the plan of this name, with nothing below it.
impl From<&str> for Tenant {
    fn from(plan: &str) -> Self {
        Self {
            plan: plan.into(),
            narrower: None,
        }
    }
}

impl Narrower {
    /// What stands below the plan for calls of these, by its place ([`Terms::below`]).
    pub fn below(
        &self,
        project: Option<&str>,
        environment: Option<&str>,
        user: Option<&str>,
    ) -> [Option<&Arc<Plan>>; LAYERS_MAX] {
        let project = project.and_then(|name| self.projects.get(name));
        let of_project = project.and_then(|project| project.plan.as_ref());
        let within = project
            .zip(environment)
            .and_then(|(project, name)| project.environments.get(name));
        [
            self.tenant.as_ref(),
            environment.and_then(|name| self.environments.get(name)),
            of_project,
            within,
            user.and_then(|name| self.users.get(name)),
        ]
    }

    /// Every plan in it.
    pub fn plans(&self) -> impl Iterator<Item = &Arc<Plan>> {
        let projects = self.projects.values();
        let of_projects = projects.flat_map(|project| {
            let within = project.environments.values();
            project.plan.iter().chain(within)
        });
        let environments = self.environments.values();
        let users = self.users.values();
        let rest = of_projects.chain(environments).chain(users);
        self.tenant.iter().chain(rest)
    }
}

impl Snapshot {
    /// What applies to a caller; `None` where its plan isn't there.
    pub fn terms(&self, who: &Principal) -> Option<Terms<'_>> {
        let plan = self.plans.get(&who.plan)?;
        let tenant = self.tenants.get(&who.tenant);
        let narrower = tenant.and_then(|tenant| tenant.narrower.as_ref());
        let below = narrower.map_or([None; LAYERS_MAX], |narrower| {
            let (project, environment) = (who.project.as_deref(), who.environment.as_deref());
            narrower.below(project, environment, who.user.as_deref())
        });
        Some(Terms { plan, below })
    }
}

impl<'s> Terms<'s> {
    /// The plan itself.
    pub fn plan(self) -> &'s Arc<Plan> {
        self.plan
    }

    /// The plan and what stands below it.
    pub fn layers(self) -> impl Iterator<Item = &'s Arc<Plan>> + Clone {
        std::iter::once(self.plan).chain(self.below.into_iter().flatten())
    }

    /// What stands below the plan, and at which of [`LAYERS_MAX`] places: the tenant's
    /// own, its environment's, its project's, that of the environment in the project,
    /// its user's.
    pub fn below(self) -> impl Iterator<Item = (usize, &'s Arc<Plan>)> {
        let below = self.below.into_iter().enumerate();
        below.filter_map(|(layer, plan)| Some((layer, plan?)))
    }

    /// What its calls may be charged to.
    pub fn charged(self) -> Charged {
        let each = self.layers().map(|plan| Charged::of_plan(plan));
        each.fold(Charged::default(), Charged::and)
    }

    pub fn limits(self) -> impl Iterator<Item = &'s PlanLimit> {
        self.layers().flat_map(|plan| plan.limits.iter())
    }

    pub fn rules(self) -> impl Iterator<Item = &'s Rules> + Clone {
        let rules = self.layers().map(|plan| &plan.rules);
        rules.filter(|rules| !rules.list.is_empty())
    }

    pub fn output(self) -> OutputRule {
        let below = self.below.into_iter().flatten();
        below.fold(self.plan.output, |output, plan| {
            output.narrowed(plan.output)
        })
    }

    pub fn allow_model(self, model: &Model) -> bool {
        let tier = model.tier.as_deref();
        self.layers()
            .all(|plan| plan.entitlements.allow_model(&model.name, tier))
    }

    pub fn allow_endpoint(self, endpoint: Endpoint) -> bool {
        self.layers()
            .all(|plan| plan.entitlements.allow_endpoint(endpoint))
    }

    pub fn allow_tool(self, name: &str) -> bool {
        self.layers().all(|plan| plan.entitlements.allow_tool(name))
    }

    /// The smallest of a bound that each may set.
    pub fn least(self, bound: impl Fn(&Plan) -> Option<u64>) -> Option<u64> {
        self.layers().filter_map(|plan| bound(plan)).min()
    }
}
