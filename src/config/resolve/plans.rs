//! Plans with their limits, and models.

use crate::config::model_names;
use crate::config::problem::{At, Findings, shown};
use crate::config::quantity::AsSpan;
use crate::config::raw::policy::AlgorithmWord;
use crate::config::raw::{Raw, RawLimit, RawModel, RawPlan};
use crate::config::reader::Located;
use crate::limits::{Algorithm, CHARGES_MAX, Limit, Unit, token_bucket};
use crate::policy::{Model, OutputRule, Plan};
use crate::units::Millis;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The shortest sliding window: it is counted in sub-windows of at least a
/// millisecond.
const WINDOW_MS_MIN: u64 = 12;

/// The most models that one message lists.
const MODELS_LISTED_MAX: usize = 5;

type ByName<T> = HashMap<Arc<str>, Arc<T>>;

/// Models and plans; `None` after a problem.
pub fn resolve(raw: &Raw, findings: &Findings) -> Option<(ByName<Model>, ByName<Plan>)> {
    let raw_models = raw.models.as_ref();
    let raw_plans = raw.plans.as_ref();
    for (at, what) in [
        raw_models
            .filter(|models| models.value.is_empty())
            .map(|models| (&models.at, "model")),
        raw_plans
            .filter(|plans| plans.value.is_empty())
            .map(|plans| (&plans.at, "plan")),
    ]
    .into_iter()
    .flatten()
    {
        findings.problem(at, format!("must have at least one {what}"));
    }
    let models = raw_models.map(|models| models.value.iter().map(model).collect::<Vec<_>>());
    let unbounded = unbounded(raw_models.map_or(&[], |models| &models.value));
    let used: HashSet<&str> = raw
        .tenants
        .iter()
        .flat_map(|tenants| &tenants.value)
        .filter_map(|tenant| Some(&*tenant.plan.as_ref()?.value))
        .collect();
    let mut plans = HashMap::new();
    let mut whole = true;
    for raw in raw_plans.map_or(&[][..], |plans| &plans.value) {
        if used.contains(&*raw.name.value) {
            require_bound(raw, &unbounded, findings);
        } else {
            findings.warning(&raw.name.at, "no tenant is on this plan");
        }
        match plan(raw, findings) {
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
    whole.then_some((models, plans))
}

fn model(raw: &RawModel) -> Model {
    let name = &raw.name.value;
    Model {
        name: Arc::clone(name),
        tier: raw.tier.as_ref().map(|tier| Arc::clone(&tier.value)),
        vocabulary: raw
            .vocabulary
            .unwrap_or_else(|| model_names::vocabulary(name)),
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
    let mut list: Vec<String> = unbounded
        .iter()
        .take(MODELS_LISTED_MAX)
        .map(|name| shown(name))
        .collect();
    if unbounded.len() > MODELS_LISTED_MAX {
        list.push(format!("{} more", unbounded.len() - MODELS_LISTED_MAX));
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
            list.join(", ")
        ),
    );
}

fn plan(raw: &RawPlan, findings: &Findings) -> Option<Plan> {
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
    if let Some(limits) = &raw.limits
        && limits.value.len() > CHARGES_MAX
    {
        let got = limits.value.len();
        findings.problem(
            &limits.at,
            format!("must have at most {CHARGES_MAX} limits (got {got})"),
        );
    }
    let mut names = HashMap::new();
    let mut whole = raw.limits_are_read;
    let mut limits = Vec::with_capacity(raw_limits.len());
    for raw_limit in raw_limits {
        name_once(raw_limit, &mut names, findings);
        match limit(raw_limit, findings) {
            Some(limit) => {
                warn_of_small(raw_limit, &limit, raw.max_tokens_default.as_ref(), findings);
                limits.push(Arc::new(limit));
            }
            None => whole = false,
        }
    }
    let default = OutputRule::default();
    whole.then(|| Plan {
        name: Arc::clone(&raw.name.value),
        limits,
        output: OutputRule {
            max_tokens_default: raw.max_tokens_default.as_ref().map(|default| default.value),
            max_tokens_cap: raw.max_tokens_cap.as_ref().map(|cap| cap.value),
            choices_cap: raw.choices_cap.unwrap_or(default.choices_cap),
        },
    })
}

fn limit_name(raw: &RawLimit) -> Option<Arc<str>> {
    if let Some(name) = &raw.name {
        return Some(Arc::clone(&name.value));
    }
    let scope = raw.scope.as_ref()?.value.as_str();
    let unit = raw.unit.as_ref()?.value.as_str();
    Some(format!("{scope}-{unit}").into())
}

fn name_once<'r>(raw: &'r RawLimit, names: &mut HashMap<Arc<str>, &'r At>, findings: &Findings) {
    let Some(name) = limit_name(raw) else { return };
    let at = raw.name.as_ref().map_or(&raw.at, |name| &name.at);
    match names.get(&name) {
        Some(first) => findings.problem(
            at,
            format!(
                "{} is named {} already; give one of them another name",
                first.path,
                shown(&name)
            ),
        ),
        None => {
            names.insert(name, &raw.at);
        }
    }
}

fn limit(raw: &RawLimit, findings: &Findings) -> Option<Limit> {
    let name = limit_name(raw);
    let unit = raw.unit.as_ref()?.value;
    let algorithm = if unit == Unit::Concurrency {
        concurrency(raw, findings)
    } else {
        paced(raw, unit, findings)
    };
    Some(Limit {
        name: name?,
        scope: raw.scope.as_ref()?.value,
        unit,
        amount: raw.amount.as_ref()?.value,
        algorithm: algorithm?,
    })
}

fn concurrency(raw: &RawLimit, findings: &Findings) -> Option<Algorithm> {
    let surplus = [
        raw.every.as_ref().map(|every| &every.at),
        raw.algorithm.as_ref().map(|algorithm| &algorithm.at),
        raw.burst.as_ref().map(|burst| &burst.at),
    ];
    for at in surplus.into_iter().flatten() {
        let text = "has no meaning with unit: concurrency, which counts calls in flight";
        findings.problem(at, text);
    }
    Some(Algorithm::Concurrency)
}

fn paced(raw: &RawLimit, unit: Unit, findings: &Findings) -> Option<Algorithm> {
    if raw.every_is_missing {
        let at = At {
            place: raw.at.place,
            path: raw.at.path.field("every"),
        };
        findings.problem(&at, "is required: the time that the amount is for, as 1m");
    }
    let word = match &raw.algorithm {
        Some(algorithm) => algorithm.value,
        None if unit == Unit::Requests => AlgorithmWord::SlidingWindow,
        None => AlgorithmWord::TokenBucket,
    };
    match word {
        AlgorithmWord::SlidingWindow => sliding_window(raw, findings),
        AlgorithmWord::TokenBucket => bucket(raw, findings),
    }
}

fn sliding_window(raw: &RawLimit, findings: &Findings) -> Option<Algorithm> {
    if let Some(burst) = &raw.burst {
        findings.problem(&burst.at, "has a meaning only with algorithm: token_bucket");
    }
    let every = raw.every.as_ref()?;
    if every.value.0 < WINDOW_MS_MIN {
        let least = AsSpan(Millis(WINDOW_MS_MIN));
        let got = AsSpan(every.value);
        let text = format!("must be at least {least} for a sliding window (got {got})");
        findings.problem(&every.at, text);
        return None;
    }
    Some(Algorithm::SlidingWindow { every: every.value })
}

fn bucket(raw: &RawLimit, findings: &Findings) -> Option<Algorithm> {
    let every = raw.every.as_ref()?;
    let amount = raw.amount.as_ref()?;
    let burst = raw.burst.as_ref().unwrap_or(amount);
    if let Err(fault) = token_bucket::validate(amount.value, every.value, burst.value) {
        findings.problem(&raw.at, fault.to_string());
        return None;
    }
    Some(Algorithm::TokenBucket {
        every: every.value,
        burst: burst.value,
    })
}

/// A call that sets no cap holds the plan's default: a limit below it refuses
/// every such call.
fn warn_of_small(
    raw: &RawLimit,
    limit: &Limit,
    default: Option<&Located<u64>>,
    findings: &Findings,
) {
    let most = match limit.algorithm {
        Algorithm::TokenBucket { burst, .. } => burst,
        Algorithm::SlidingWindow { .. } | Algorithm::Concurrency => limit.amount,
    };
    if limit.unit == Unit::Tokens
        && let Some(default) = default
        && most <= default.value
    {
        findings.warning(
            &raw.at,
            format!(
                "never holds more than {most}, but a call without a cap of its own asks for \
                 {} output tokens alone (output.max_tokens.default): it would always be refused",
                default.value
            ),
        );
    }
}
