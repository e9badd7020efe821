//! Plans with their limits, and models.

use super::limits::{self, Known};
use super::prices::Prices;
use crate::config::model_names;
use crate::config::outside::Outside;
use crate::config::problem::{At, Findings};
use crate::config::raw::limits::RawLimit;
use crate::config::raw::{Raw, RawModel, RawPlan};
use crate::config::reader::Located;
use crate::limits::CHARGES_MAX;
use crate::policy::{Model, ModelRatio, OutputRule, Plan, PlanLimit};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What calls may name, and what tenants may use.
pub struct Policy {
    pub models: HashMap<Arc<str>, Arc<Model>>,
    pub plans: HashMap<Arc<str>, Arc<Plan>>,
    /// Limits whose counters tenants share.
    pub shared: Vec<PlanLimit>,
}

/// Models, plans and the limits beside them; `None` after a problem.
pub fn resolve(raw: &Raw, outside: &dyn Outside, findings: &Findings) -> Option<Policy> {
    let raw_models = raw.models.as_ref();
    let raw_plans = raw.plans.as_ref();
    require_some(raw_models, "model", findings);
    require_some(raw_plans, "plan", findings);
    let prices = Prices::of(raw, outside, findings);
    let models = raw_models.map(|models| {
        let models = models.value.iter();
        let priced = models.map(|raw| Model {
            price: prices.of_model(raw, findings),
            ..model(raw)
        });
        priced.collect::<Vec<_>>()
    });
    let unbounded = unbounded(raw_models.map_or(&[], |models| &models.value));
    let used: HashSet<&str> = raw
        .tenants
        .iter()
        .flat_map(|tenants| &tenants.value)
        .filter_map(|tenant| Some(&*tenant.plan.as_ref()?.value))
        .chain(raw.default_plan.as_ref().map(|plan| &*plan.value))
        .collect();
    let written = raw_models.map_or(&[][..], |models| &models.value);
    let told = written.iter().filter(|raw| prices.is_told(raw));
    let told_prices: HashSet<&str> = told.map(|raw| &*raw.name.value).collect();
    let known = Known {
        models: models.as_deref(),
        told_prices: &told_prices,
    };
    let top = top_limits(raw, &known, findings);
    let mut plans = HashMap::new();
    let mut whole = top.is_some();
    let top = top.unwrap_or_default();
    for raw in raw_plans.map_or(&[][..], |plans| &plans.value) {
        if used.contains(&*raw.name.value) {
            require_bound(raw, &unbounded, findings);
        } else {
            findings.warning(&raw.name.at, "no tenant is on this plan");
        }
        match plan(raw, &known, &top, findings) {
            Some(plan) => {
                plans.insert(Arc::clone(&plan.name), Arc::new(plan));
            }
            None => whole = false,
        }
    }
    let models = models?
        .into_iter()
        .map(|model| (Arc::clone(&model.name), Arc::new(model)))
        .collect();
    let shared = top.into_iter().map(|(_, limit)| limit);
    whole.then(|| Policy {
        models,
        plans,
        shared: shared.filter(|l| l.limit.scope.is_shared()).collect(),
    })
}

fn require_some<T>(written: Option<&Located<Vec<T>>>, what: &str, findings: &Findings) {
    if let Some(empty) = written.filter(|written| written.value.is_empty()) {
        findings.problem(&empty.at, format!("must have at least one {what}"));
    }
}

type WrittenLimit<'r> = (&'r RawLimit, PlanLimit);

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

/// All but its price.
fn model(raw: &RawModel) -> Model {
    let name = &raw.name.value;
    Model {
        name: Arc::clone(name),
        tier: raw.tier.as_ref().map(|tier| Arc::clone(&tier.value)),
        provider: raw.provider.as_ref().map(|name| Arc::clone(&name.value)),
        price: None,
        service_tier: raw.service_tier,
        vocabulary: raw
            .vocabulary
            .unwrap_or_else(|| model_names::vocabulary(name)),
        max_input_tokens: raw.max_input_tokens,
        token_ratio: match (raw.token_ratio, raw.vocabulary) {
            (Some(ratio), _) => ModelRatio::fixed(ratio),
            (None, Some(_)) => ModelRatio::EXACT,
            (None, None) => model_names::token_ratio(name),
        },
        max_output_tokens: raw
            .max_output_tokens
            .or_else(|| model_names::max_output_tokens(name)),
        output_field: raw
            .output_field
            .unwrap_or_else(|| model_names::output_field(name)),
        image_tokens: raw.image_tokens,
        inject_include_usage: raw.inject_include_usage.unwrap_or(true),
    }
}

/// The models whose output nothing bounds but a plan's default.
fn unbounded(models: &[RawModel]) -> Vec<&str> {
    models
        .iter()
        .filter(|raw| raw.max_output_is_read && model(raw).max_output_tokens.is_none())
        .map(|raw| &*raw.name.value)
        .collect()
}

/// A call must have a largest output, or nothing could be held for it.
fn require_bound(raw: &RawPlan, unbounded: &[&str], findings: &Findings) {
    if unbounded.is_empty() || raw.max_tokens_default.is_some() || !raw.output_is_read {
        return;
    }
    let path = &raw.name.at.path;
    let at = At {
        place: raw.name.at.place,
        path: path.field("output").field("max_tokens").field("default"),
    };
    findings.problem(
        &at,
        format!(
            "is required, as nothing else bounds the output of {}: set it, or set \
             max_output_tokens of each of these models",
            limits::listed(unbounded)
        ),
    );
}

fn plan(raw: &RawPlan, known: &Known, top: &[WrittenLimit], findings: &Findings) -> Option<Plan> {
    if let (Some(default), Some(cap)) = (&raw.max_tokens_default, &raw.max_tokens_cap)
        && default.value > cap.value
    {
        let text = format!(
            "must be at most the cap of {} (got {})",
            cap.value, default.value
        );
        findings.problem(&default.at, text);
    }
    let raw_limits = raw.limits.as_ref().map_or(&[][..], |limits| &limits.value);
    if raw_limits.is_empty() && raw.limits_are_read {
        findings.warning(&raw.name.at, "the plan has no limits");
    }
    let count = raw_limits.len() + top.len();
    if count > CHARGES_MAX {
        let at = raw
            .limits
            .as_ref()
            .map_or(&raw.name.at, |limits| &limits.at);
        let text = format!("must have at most {CHARGES_MAX} limits (got {count})");
        findings.problem(at, text);
    }
    let mut names = HashMap::new();
    for (raw, limit) in top {
        names.insert(Arc::clone(&limit.limit.name), &raw.at);
    }
    let mut whole = raw.limits_are_read;
    let mut resolved = Vec::with_capacity(raw_limits.len());
    for raw_limit in raw_limits {
        limits::name_once(raw_limit, &mut names, findings);
        match limits::of_plan(raw_limit, known, findings) {
            Some(limit) => {
                let default = raw.max_tokens_default.as_ref();
                limits::warn_of_small(raw_limit, &limit.limit, default, findings);
                resolved.push(limit);
            }
            None => whole = false,
        }
    }
    let of_all_tenants = top.iter().map(|(_, limit)| limit);
    resolved.extend(
        of_all_tenants
            .filter(|l| !l.limit.scope.is_shared())
            .cloned(),
    );
    let default = OutputRule::default();
    whole.then(|| Plan {
        name: Arc::clone(&raw.name.value),
        limits: resolved,
        output: OutputRule {
            max_tokens_default: raw.max_tokens_default.as_ref().map(|default| default.value),
            max_tokens_cap: raw.max_tokens_cap.as_ref().map(|cap| cap.value),
            choices_cap: raw.choices_cap.unwrap_or(default.choices_cap),
            hold: raw.hold.unwrap_or_default(),
        },
    })
}
