//! Plans: what they extend put together, their limits, budgets and rules.

use super::budgets;
use super::entitlements;
use super::extends::{Chain, Plans};
use super::limits::{self, Known};
use super::models::{self, Models};
use super::rules::{self, Words};
use super::{routes, tenants, virtual_models};
use crate::config::outside::Outside;
use crate::config::problem::{At, Findings};
use crate::config::raw::budgets::RawBudget;
use crate::config::raw::limits::RawLimit;
use crate::config::raw::{Raw, RawPlan};
use crate::config::reader::Located;
use crate::limits::CHARGES_MAX;
use crate::policy::charged::Charged;
use crate::policy::choice::VirtualModel;
use crate::policy::facts::Names;
use crate::policy::terms::Narrower;
use crate::policy::{ByName, Guardrails, Hold, Model, OutputRule, Plan, PlanLimit};
use jiff::tz::TimeZone;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What calls may name, and what tenants may use.
pub struct Policy {
    pub models: ByName<Arc<Model>>,
    pub virtual_models: ByName<Arc<VirtualModel>>,
    pub plans: ByName<Arc<Plan>>,
    /// Limits whose counters tenants share.
    pub shared: Vec<PlanLimit>,
    /// What stands below the plans of tenants.
    pub narrower: HashMap<Arc<str>, Arc<Narrower>>,
}

/// What plans may speak of, and what they have in common.
pub struct Ground<'r> {
    pub known: &'r Known<'r>,
    /// Every name that a call may give as its model.
    pub called: &'r HashSet<&'r str>,
    /// The limits beside the plans.
    pub top: &'r [WrittenLimit<'r>],
    /// What is built stands below a plan, and needs nothing of its own.
    pub is_below: bool,
    pub findings: &'r Findings,
}

pub type WrittenLimit<'r> = (&'r RawLimit, PlanLimit);

/// Models, plans and the limits beside them; `None` after a problem.
pub fn resolve(raw: &Raw, outside: &dyn Outside, findings: &Findings) -> Option<Policy> {
    let raw_plans = raw.plans.as_ref();
    models::require_some(raw_plans, "plan", findings);
    let Models {
        models,
        told_prices,
        unbounded,
    } = models::resolve(raw, outside, findings);
    let written_plans = raw_plans.map_or(&[][..], |plans| &plans.value);
    let plan_names = written_plans.iter().map(|raw| &*raw.name.value).collect();
    let route_names = routes::names(raw);
    let known = Known {
        models: models.as_deref(),
        told_prices: &told_prices,
        plans: raw_plans.map(|_| &plan_names),
        headers: raw.condition_headers.as_deref(),
        routes: route_names.as_ref(),
    };
    let written = raw.models.as_ref().map_or(&[][..], |models| &models.value);
    let called: HashSet<&str> = written.iter().map(|raw| &*raw.name.value).collect();
    let top = top_limits(raw, &known, findings);
    let mut whole = top.is_some();
    let top = top.unwrap_or_default();
    let ground = Ground {
        known: &known,
        called: &called,
        top: &top,
        is_below: false,
        findings,
    };
    let by_name: Plans = written_plans
        .iter()
        .map(|raw| (&*raw.name.value, raw))
        .collect();
    let plans = all(raw, &by_name, &unbounded, &ground);
    whole &= plans.is_some();
    let plans = plans.unwrap_or_default();
    let narrower = tenants::narrower(raw, &by_name, &plans, &ground);
    let names = all_names(&plans);
    let words = Words {
        known: &known,
        called: &called,
        names: &names,
    };
    let virtual_models = virtual_models::virtual_models(written, &words, findings);
    let shared = top.iter().map(|(_, limit)| limit);
    let shared = shared.filter(|l| l.limit.scope.is_shared());
    let models = models?
        .into_iter()
        .map(|model| (Arc::clone(&model.name), Arc::new(model)))
        .collect();
    let (virtual_models, narrower) = (virtual_models?, narrower?);
    whole.then_some(Policy {
        models,
        virtual_models,
        plans,
        shared: shared.cloned().collect(),
        narrower,
    })
}

/// All plans by name; `None` after a problem.
fn all(
    raw: &Raw,
    by_name: &Plans,
    unbounded: &[String],
    ground: &Ground,
) -> Option<ByName<Arc<Plan>>> {
    let findings = ground.findings;
    let written = raw.plans.as_ref().map_or(&[][..], |plans| &plans.value);
    let used = used(raw);
    let below = tenants::plans_named(raw);
    let mut plans = ByName::default();
    let mut whole = true;
    for raw in written {
        let chain = Chain::of(raw, by_name, findings);
        if used.contains(&*raw.name.value) {
            if let Some(chain) = &chain {
                require_bound(raw, chain, unbounded, findings);
            }
        } else if !below.contains(&*raw.name.value)
            && !written.iter().any(|other| extends(other, raw))
        {
            findings.warning(&raw.name.at, "no tenant is on this plan");
        }
        match chain.and_then(|chain| plan(&raw.name, &chain, ground)) {
            Some(plan) => {
                plans.insert(Arc::clone(&plan.name), Arc::new(plan));
            }
            None => whole = false,
        }
    }
    whole.then_some(plans)
}

fn extends(plan: &RawPlan, other: &RawPlan) -> bool {
    let extends = plan.extends.as_ref();
    extends.is_some_and(|extends| extends.value == other.name.value)
}

/// The plans that somebody is on.
fn used(raw: &Raw) -> HashSet<&str> {
    let tenants = raw.tenants.iter().flat_map(|tenants| &tenants.value);
    let of_tenants = tenants.filter_map(|tenant| Some(&*tenant.plan.as_ref()?.value));
    let default = raw.default_plan.as_ref().map(|plan| &*plan.value);
    of_tenants.chain(default).collect()
}

/// The names that some plan has limits and budgets under: what conditions beside
/// the plans may speak of.
fn all_names(plans: &ByName<Arc<Plan>>) -> Names {
    let all = || plans.values().flat_map(|plan| &plan.limits);
    let mut limits: Vec<Arc<str>> = Vec::new();
    let mut budgets: Vec<Arc<str>> = Vec::new();
    for limit in all() {
        let names = match limit.budget {
            Some(_) => &mut budgets,
            None => &mut limits,
        };
        if !names.contains(&limit.limit.name) {
            names.push(Arc::clone(&limit.limit.name));
        }
    }
    Names::of(limits, &budgets)
}

/// The limits beside the plans, which hold for all tenants: shared by them, or
/// for each of them alike.
fn top_limits<'r>(
    raw: &'r Raw,
    known: &Known,
    findings: &Findings,
) -> Option<Vec<WrittenLimit<'r>>> {
    let written = raw.limits.as_ref().map_or(&[][..], |limits| &limits.value);
    let mut names = HashMap::new();
    let mut whole = raw.limits_are_read;
    let mut resolved = Vec::new();
    for raw in written {
        limits::name_once(raw, &mut names, findings);
        match limits::resolve(raw, known, findings) {
            Some(limit) => resolved.push((raw, limit)),
            None => whole = false,
        }
    }
    whole.then_some(resolved)
}

/// A call must have a largest output, or nothing could be held for it.
fn require_bound(raw: &RawPlan, chain: &Chain, unbounded: &[String], findings: &Findings) {
    let is_read = chain.plans().all(|plan| plan.output_is_read);
    if unbounded.is_empty() || chain.output().max_tokens_default.is_some() || !is_read {
        return;
    }
    let path = &raw.name.at.path;
    let at = At {
        place: raw.name.at.place,
        path: path.field("output").field("max_tokens").field("default"),
    };
    let unbounded: Vec<&str> = unbounded.iter().map(String::as_str).collect();
    findings.problem(
        &at,
        format!(
            "is required, as nothing else bounds the output of {}: set it, or set \
             max_output_tokens of each of these models",
            limits::listed(&unbounded)
        ),
    );
}

/// A plan as it stands for itself; `None` after a problem.
pub fn plan(name: &Located<Arc<str>>, chain: &Chain, ground: &Ground) -> Option<Plan> {
    let findings = ground.findings;
    warn_of_output(chain, findings);
    let raw_limits = chain.limits();
    let raw_budgets = chain.budgets();
    let limits_are_read = chain.plans().all(|plan| plan.limits_are_read);
    let is_bare = raw_limits.is_empty() && raw_budgets.is_empty() && !ground.is_below;
    if is_bare && limits_are_read {
        findings.warning(&name.at, "the plan has no limits");
    }
    let own = own_limits(chain, &raw_limits, &raw_budgets, ground);
    let names = names(&raw_limits, &raw_budgets, ground.top);
    let words = Words {
        known: ground.known,
        called: ground.called,
        names: &names,
    };
    let counters = Arc::clone(&names.counters);
    let rules = rules::rules(&chain.rules(), &words, counters, findings);
    let of_rules = rules.as_ref().map_or(Charged::default(), Charged::of_rules);
    too_many(name, chain, (&own, of_rules), ground);
    let entitlements = entitlements::of_plan(chain, ground);
    let time_zone = match chain.last(|plan| plan.time_zone.as_ref()) {
        Some(written) => Some(limits::zone_of(written, findings)?),
        None => None,
    };
    let output = chain.output();
    let is_read = chain.plans().all(|plan| plan.is_read);
    let (mut limits, rules, entitlements) = (own?, rules?, entitlements?);
    let of_all_tenants = ground.top.iter().map(|(_, limit)| limit);
    limits.extend(
        of_all_tenants
            .filter(|l| !l.limit.scope.is_shared())
            .cloned(),
    );
    (is_read && limits_are_read).then(|| Plan {
        name: Arc::clone(&name.value),
        limits,
        // Below a plan the default is not the same as nothing: the plan may say another.
        output: OutputRule {
            hold: output
                .hold
                .filter(|hold| ground.is_below || *hold != Hold::Maximum),
            ..output
        },
        entitlements,
        guardrails: guardrails(chain),
        rules,
        time_zone: time_zone.filter(|zone| ground.is_below || *zone != TimeZone::UTC),
    })
}

/// Reports a plan by which calls might be charged to more than they can be.
fn too_many(
    name: &Located<Arc<str>>,
    chain: &Chain,
    (own, of_rules): (&Option<Vec<PlanLimit>>, Charged),
    ground: &Ground,
) {
    let top = ground.top.iter().map(|(_, limit)| limit);
    let all = own.iter().flatten().chain(top);
    let count = of_rules.and(Charged::of(all)).most();
    if count > CHARGES_MAX {
        let at = chain.last(|plan| plan.limits.as_ref().map(|limits| &limits.at));
        let twice = match of_rules.throttles {
            true => ": what a throttle makes calls keep a part of counts twice",
            false => "",
        };
        let text = format!("must have at most {CHARGES_MAX} limits (got {count}){twice}");
        let at = at.unwrap_or(&name.at);
        ground.findings.problem(at, text);
    }
}

fn warn_of_output(chain: &Chain, findings: &Findings) {
    let default = chain.last(|plan| plan.output.max_tokens_default.as_ref());
    let cap = chain.last(|plan| plan.output.max_tokens_cap.as_ref());
    if let (Some(default), Some(cap)) = (default, cap)
        && default.value > cap.value
    {
        let text = format!(
            "must be at most the cap of {} (got {})",
            cap.value, default.value
        );
        findings.problem(&default.at, text);
    }
}

/// The names of the counters that a plan's conditions may speak of.
pub fn names(limits: &[&RawLimit], budgets: &[&RawBudget], top: &[WrittenLimit]) -> Names {
    let own = limits.iter().filter_map(|raw| limits::name(raw));
    let top = top.iter().map(|(_, limit)| Arc::clone(&limit.limit.name));
    let budgets = budgets.iter().filter_map(|raw| raw.name());
    let budgets: Vec<Arc<str>> = budgets.map(|name| Arc::clone(&name.value)).collect();
    Names::of(own.chain(top), &budgets)
}

/// Limits and budgets, each under a name of its own.
fn own_limits(
    chain: &Chain,
    limits: &[&RawLimit],
    budgets: &[&RawBudget],
    ground: &Ground,
) -> Option<Vec<PlanLimit>> {
    let findings = ground.findings;
    let mut names = HashMap::new();
    for (raw, limit) in ground.top {
        names.insert(Arc::clone(&limit.limit.name), &raw.at);
    }
    let default = chain.last(|plan| plan.output.max_tokens_default.as_ref());
    let mut whole = true;
    let mut resolved = Vec::with_capacity(limits.len() + budgets.len());
    for raw in limits {
        limits::name_once(raw, &mut names, findings);
        match limits::of_plan(raw, ground.known, findings) {
            Some(limit) => {
                limits::warn_of_small(raw, &limit.limit, default, findings);
                resolved.push(limit);
            }
            None => whole = false,
        }
    }
    for raw in budgets {
        limits::name_once(&raw.limit, &mut names, findings);
        match limits::of_plan(&raw.limit, ground.known, findings) {
            Some(limit) => match budgets::resolve(raw, limit, findings) {
                Some(budget) => resolved.push(budget),
                None => whole = false,
            },
            None => whole = false,
        }
    }
    whole.then_some(resolved)
}

fn guardrails(chain: &Chain) -> Guardrails {
    let list = |of: fn(&RawPlan) -> &Vec<Arc<str>>| {
        let mut all: Vec<Arc<str>> = Vec::new();
        for name in chain.plans().flat_map(of) {
            if !all.contains(name) {
                all.push(Arc::clone(name));
            }
        }
        all
    };
    Guardrails {
        input_tokens_max: chain.last(|plan| plan.guardrails.input_tokens_max),
        body_bytes_max: chain.last(|plan| plan.guardrails.body_bytes_max),
        images_max: chain.last(|plan| plan.guardrails.images_max),
        tools_max: chain.last(|plan| plan.guardrails.tools_max),
        forbidden: list(|plan| &plan.guardrails.forbid),
        dropped: list(|plan| &plan.guardrails.drop),
    }
}
