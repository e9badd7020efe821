//! Limits: what they count, for whom, how, and in which calls.

mod told;
mod windows;

pub use told::{name_once, warn_of_small};
pub use windows::zone_of;

use windows::fixed_window;

use super::own_limits;
use super::rules::{self, Words};
use crate::config::problem::{At, Findings, did_you_mean, shown};
use crate::config::quantity::AsSpan;
use crate::config::raw::limits::{AlgorithmWord, RawLimit, RawWhen};
use crate::config::reader::Located;
use crate::expressions::condition::{Condition, NotACondition};
use crate::limits::{Algorithm, Limit, Scope, Unit, token_bucket};
use crate::policy::facts::Names;
use crate::policy::{Model, PlanLimit, When};
use crate::units::Millis;
use std::collections::HashSet;
use std::sync::Arc;

/// The shortest sliding window: it is counted in sub-windows of at least a
/// millisecond.
const WINDOW_MS_MIN: u64 = 12;

/// The most models that one message lists.
const MODELS_LISTED_MAX: usize = 5;

/// What limits may speak of.
pub struct Known<'r> {
    /// `None` where the models couldn't be read.
    pub models: Option<&'r [Model]>,
    /// Models whose price couldn't be read, which has been reported.
    pub told_prices: &'r HashSet<&'r str>,
    /// Every plan; `None` where that isn't looked at.
    pub plans: Option<&'r HashSet<&'r str>>,
    /// Headers that conditions see; `None` where they couldn't be read, or that isn't
    /// looked at.
    pub headers: Option<&'r [Arc<str>]>,
    /// Names of routes; `None` where they couldn't be read, or that isn't looked at.
    pub routes: Option<&'r HashSet<&'r str>>,
}

/// One limit of a plan, which is each tenant's own; `None` after a problem.
pub fn of_plan(raw: &RawLimit, known: &Known, findings: &Findings) -> Option<PlanLimit> {
    let mut limit = resolve(raw, known, findings);
    if let Some(scope) = raw.scope.as_ref().filter(|scope| scope.value.is_empty()) {
        let text = "global has a meaning only in the limits at the top: a plan's limits are each \
                    tenant's own";
        findings.problem(&scope.at, text);
        return None;
    }
    if let Some(limit) = &mut limit {
        let own = Limit {
            scope: limit.limit.scope.within_tenant(),
            ..Limit::clone(&limit.limit)
        };
        limit.limit = Arc::new(own);
    }
    limit
}

/// One limit of a descriptor's rule, whose calls are the descriptor's; `None`
/// after a problem.
pub fn of_descriptors(raw: &RawLimit, findings: &Findings) -> Option<Limit> {
    // It speaks of no model.
    let known = Known {
        models: None,
        told_prices: &HashSet::new(),
        plans: None,
        headers: None,
        routes: None,
    };
    resolve(raw, &known, findings).map(|limit| Limit::clone(&limit.limit))
}

/// One limit, for whom it says; `None` after a problem.
pub fn resolve(raw: &RawLimit, known: &Known, findings: &Findings) -> Option<PlanLimit> {
    own_limits::not_named_alike(raw, findings)?;
    let name = name(raw);
    let when = when(&raw.when, known, findings);
    let unit = raw.unit.as_ref()?.value;
    let algorithm = if unit == Unit::Concurrency {
        concurrency(raw, findings)
    } else {
        paced(raw, unit, findings)
    };
    let when = when?;
    let hard = hard(raw, unit, findings)?;
    if unit == Unit::Cost {
        require_prices(raw, &when, known, findings)?;
    }
    let limit = Limit {
        name: name?,
        scope: scope(raw)?,
        unit,
        amount: raw.amount.as_ref()?.value,
        algorithm: algorithm?,
        mode: raw.mode.as_ref().map(|mode| mode.value).unwrap_or_default(),
    };
    raw.is_read.then(|| PlanLimit {
        limit: Arc::new(limit),
        hard,
        when,
        budget: None,
    })
}

/// As written, or after what it counts.
pub fn name(raw: &RawLimit) -> Option<Arc<str>> {
    if let Some(name) = &raw.name {
        return Some(Arc::clone(&name.value));
    }
    let unit = raw.unit.as_ref()?.value.as_str().replace('_', "-");
    Some(format!("{}-{unit}", scope(raw)?).into())
}

fn scope(raw: &RawLimit) -> Option<Scope> {
    let dimensions = &raw.scope.as_ref()?.value;
    Some(Scope::of(dimensions.iter().copied()))
}

fn when(raw: &RawWhen, known: &Known, findings: &Findings) -> Option<When> {
    let mut whole = true;
    if let Some(models) = known.models {
        let names: HashSet<&str> = models.iter().map(|model| &*model.name).collect();
        let tiers: HashSet<&str> = models
            .iter()
            .filter_map(|model| model.tier.as_deref())
            .collect();
        for (what, written, known) in [
            ("model", &raw.models, &names),
            ("model of tier", &raw.tiers, &tiers),
        ] {
            for name in written {
                if !known.contains(&*name.value) {
                    unknown(what, name, known, findings);
                    whole = false;
                }
            }
        }
    }
    let values = |names: &[Located<Arc<str>>]| {
        let names = names.iter().map(|name| Arc::clone(&name.value));
        names.collect()
    };
    let condition = match &raw.condition {
        Some(text) => Some(condition(text, known, findings)?),
        None => None,
    };
    whole.then(|| When {
        models: values(&raw.models),
        tiers: values(&raw.tiers),
        endpoints: raw.endpoints.clone(),
        condition,
    })
}

/// A limit's own condition, which can't speak of counters: whether a call is charged
/// to it is known before they are.
fn condition(text: &Located<String>, known: &Known, findings: &Findings) -> Option<Condition> {
    let compiled = Condition::compile(&text.value, &Names::default());
    if let Err(NotACondition::NoField { path, .. }) = compiled
        && path
            .first()
            .is_some_and(|of| of == "budget" || of == "limit")
    {
        let of = path.join(".");
        let text_of = format!(
            "can't speak of {of}: which limits and budgets a call is charged to is known before \
             what is left of them; policies can"
        );
        findings.problem(&text.at, text_of);
        return None;
    }
    let models = known.models.unwrap_or_default().iter();
    let called: HashSet<&str> = models.map(|model| &*model.name).collect();
    let words = Words {
        known,
        called: &called,
        names: &Names::default(),
    };
    rules::condition(text, &words, findings)
}

/// Reports that there is no such thing.
pub fn unknown(what: &str, name: &Located<Arc<str>>, known: &HashSet<&str>, findings: &Findings) {
    let hint = did_you_mean(&name.value, known.iter().copied());
    let text = format!("there is no {what} {}{hint}", shown(&name.value));
    findings.problem(&name.at, text);
}

/// What a call produces is all that may come to more than is held.
fn hard(raw: &RawLimit, unit: Unit, findings: &Findings) -> Option<bool> {
    let Some(hard) = &raw.hard else {
        return Some(false);
    };
    if hard.value && !unit.is_of_output() {
        let unit = unit.as_str();
        let text = format!("is only for tokens, output_tokens and cost (unit is {unit})");
        findings.problem(&hard.at, text);
        return None;
    }
    Some(hard.value)
}

/// A call whose cost isn't known can't be held to a limit on it.
fn require_prices(raw: &RawLimit, when: &When, known: &Known, findings: &Findings) -> Option<()> {
    let unpriced: Vec<&str> = known
        .models
        .unwrap_or_default()
        .iter()
        .filter(|model| model.price.is_none() && applies(when, model))
        .filter(|model| !known.told_prices.contains(&*model.name))
        .map(|model| &*model.name)
        .collect();
    if unpriced.is_empty() {
        return Some(());
    }
    let list = listed(&unpriced);
    let text = format!(
        "can't count the cost of {list}: set price of each of these models, or keep them out with when"
    );
    findings.problem(&raw.at, text);
    None
}

fn applies(when: &When, model: &Model) -> bool {
    match when.endpoints.as_slice() {
        [] => when.holds(model, crate::protocol::Endpoint::ChatCompletions),
        endpoints => endpoints.iter().any(|e| when.holds(model, *e)),
    }
}

/// Some names, and how many more there are.
pub fn listed(names: &[&str]) -> String {
    let shown_names = names.iter().take(MODELS_LISTED_MAX);
    let mut list: Vec<String> = shown_names.map(|name| shown(name)).collect();
    if names.len() > MODELS_LISTED_MAX {
        list.push(format!("{} more", names.len() - MODELS_LISTED_MAX));
    }
    list.join(", ")
}

/// Reports the fields that are there though they mean nothing here.
fn surplus<'r>(fields: impl IntoIterator<Item = Option<&'r At>>, text: &str, findings: &Findings) {
    for at in fields.into_iter().flatten() {
        findings.problem(at, text);
    }
}

fn at<T>(field: &Option<Located<T>>) -> Option<&At> {
    field.as_ref().map(|field| &field.at)
}

fn concurrency(raw: &RawLimit, findings: &Findings) -> Option<Algorithm> {
    let fields = [
        at(&raw.every),
        at(&raw.period),
        at(&raw.zone),
        at(&raw.anchor),
        at(&raw.starts),
        at(&raw.algorithm),
        at(&raw.burst),
    ];
    let text = "has no meaning with unit: concurrency, which counts calls in flight";
    surplus(fields, text, findings);
    Some(Algorithm::Concurrency)
}

fn paced(raw: &RawLimit, unit: Unit, findings: &Findings) -> Option<Algorithm> {
    if raw.length_is_missing {
        let at = At {
            place: raw.at.place,
            path: raw.at.path.field("every"),
        };
        let text = "is required: the time that the amount is for, as 1m (or a period, as month)";
        findings.problem(&at, text);
    }
    let word = match (&raw.algorithm, &raw.period) {
        (Some(algorithm), _) => algorithm.value,
        (None, Some(_)) => AlgorithmWord::FixedWindow,
        (None, None) if unit == Unit::Requests => AlgorithmWord::SlidingWindow,
        (None, None) => AlgorithmWord::TokenBucket,
    };
    if !matches!(
        word,
        AlgorithmWord::TokenBucket | AlgorithmWord::LeakyBucket
    ) {
        let text = "has a meaning only with algorithm: token_bucket or leaky_bucket";
        surplus([at(&raw.burst)], text, findings);
    }
    if word != AlgorithmWord::FixedWindow {
        let text = "has a meaning only with algorithm: fixed_window";
        surplus([at(&raw.period), at(&raw.starts)], text, findings);
    }
    if raw.period.is_none() {
        let text = "has a meaning only with a period";
        surplus([at(&raw.zone), at(&raw.anchor)], text, findings);
    }
    match word {
        AlgorithmWord::FixedWindow => fixed_window(raw, findings),
        AlgorithmWord::SlidingWindow => sliding_window(raw, findings),
        AlgorithmWord::TokenBucket | AlgorithmWord::LeakyBucket => bucket(raw, word, findings),
    }
}

fn sliding_window(raw: &RawLimit, findings: &Findings) -> Option<Algorithm> {
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

fn bucket(raw: &RawLimit, word: AlgorithmWord, findings: &Findings) -> Option<Algorithm> {
    let every = raw.every.as_ref()?.value;
    let amount = raw.amount.as_ref()?.value;
    let leaky = word == AlgorithmWord::LeakyBucket;
    // A bucket that leaks lets one come at a time unless told otherwise.
    let burst = match &raw.burst {
        Some(burst) => burst.value,
        None if leaky && raw.unit.as_ref().is_some_and(|u| u.value == Unit::Requests) => 1,
        None => amount,
    };
    if let Err(fault) = token_bucket::validate(amount, every, burst) {
        findings.problem(&raw.at, fault.to_string());
        return None;
    }
    Some(if leaky {
        Algorithm::LeakyBucket { every, burst }
    } else {
        Algorithm::TokenBucket { every, burst }
    })
}
