//! Rules and conditions: compiled, and held to what exists.

use super::limits::{Known, listed, unknown};
use crate::config::problem::{Findings, did_you_mean, shown};
use crate::config::raw::rules::{RawAction, RawRule, RawSwap};
use crate::config::reader::Located;
use crate::expressions::condition::{Condition, Field, Schema};
use crate::policy::facts::{self, Names};
use crate::policy::rule::{Action, RULES_MAX, Rule, Rules, Swap};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What rules may speak of.
pub struct Words<'r> {
    pub known: &'r Known<'r>,
    /// Every name that a call may give as its model.
    pub called: &'r HashSet<&'r str>,
    pub names: &'r Names,
}

/// All rules of a plan, in order; `None` after a problem. `counters` are the names
/// under which `words.names` are counted.
pub fn rules(
    raw: &[&RawRule],
    words: &Words,
    counters: Arc<[Arc<str>]>,
    findings: &Findings,
) -> Option<Rules> {
    if let Some(first) = raw.get(RULES_MAX) {
        let text = format!(
            "a plan may have at most {RULES_MAX} policies (got {})",
            raw.len()
        );
        findings.problem(&first.at, text);
        return None;
    }
    let mut first = HashMap::new();
    let mut all = Vec::with_capacity(raw.len());
    let mut whole = true;
    for raw in raw {
        name_once(raw, &mut first, findings);
        match rule(raw, words, findings) {
            Some(rule) => all.push(rule),
            None => whole = false,
        }
    }
    whole.then(|| Rules::new(all, counters))
}

fn name_once<'r>(raw: &'r RawRule, first: &mut HashMap<&'r str, &'r RawRule>, findings: &Findings) {
    let Some(name) = &raw.name else { return };
    match first.get(&*name.value) {
        Some(earlier) => {
            let text = format!(
                "{} is named {} already",
                earlier.at.path,
                shown(&name.value)
            );
            findings.problem(&name.at, text);
        }
        None => {
            first.insert(&name.value, raw);
        }
    }
}

fn rule(raw: &RawRule, words: &Words, findings: &Findings) -> Option<Rule> {
    let when = raw.when.as_ref();
    let when = when.map(|text| condition(text, words, findings));
    let then: Vec<Option<Action>> = raw
        .then
        .iter()
        .map(|raw| action(raw, words, findings))
        .collect();
    // Only once all of it has been looked at: each problem is told of.
    let then = then.into_iter().collect::<Option<Vec<_>>>()?;
    let when = match when {
        Some(when) => Some(when?),
        None => None,
    };
    if let (Some(when), Some(text)) = (&when, &raw.when) {
        warn_of_unpriced(when, text, words.known, findings);
    }
    let needs = when.as_ref().map(|when| facts::Needs::of(when.fields()));
    raw.is_read.then_some(())?;
    Some(Rule {
        name: Arc::clone(&raw.name.as_ref()?.value),
        needs_counters: needs.is_some_and(|needs| needs.counters),
        when,
        then,
        mode: raw.mode,
    })
}

/// A condition, compiled; `None` after a problem.
pub fn condition(text: &Located<String>, words: &Words, findings: &Findings) -> Option<Condition> {
    let schema: &dyn Schema = words.names;
    let condition = match Condition::compile(&text.value, schema) {
        Ok(condition) => condition,
        Err(error) => {
            findings.problem(&text.at, error.to_string());
            return None;
        }
    };
    let mut whole = headers_are_seen(&condition, text, words.known, findings);
    for (field, value) in condition.texts_compared() {
        let Some((what, known)) = words.of(field) else {
            continue;
        };
        // Models that couldn't be read have been reported.
        if words.known.models.is_some() && !known.contains(value) && !value.is_empty() {
            let name = Located {
                value: Arc::from(value),
                at: text.at.clone(),
            };
            unknown(what, &name, &known, findings);
            whole = false;
        }
    }
    whole.then_some(condition)
}

impl<'r> Words<'r> {
    /// What a field's words are called, and all that there are, where no others can
    /// be.
    fn of(&self, field: Field) -> Option<(&'static str, HashSet<&'r str>)> {
        let known = self.known;
        Some(if facts::names_models(field) {
            ("model", self.called.clone())
        } else if facts::names_tiers(field) {
            ("model of tier", known.tiers())
        } else if facts::names_providers(field) {
            ("model of provider", known.providers())
        } else if facts::names_plans(field) {
            ("plan", known.plans?.clone())
        } else if facts::names_routes(field) {
            ("route", known.routes?.clone())
        } else {
            facts::words_of(field)?
        })
    }
}

/// A rule on what calls cost doesn't hold where nobody knows that.
fn warn_of_unpriced(when: &Condition, text: &Located<String>, known: &Known, findings: &Findings) {
    let is_asked = text.value.contains("has(request.cost_max)");
    if is_asked || !when.fields().any(facts::needs_price) {
        return;
    }
    let models = known.models.unwrap_or_default().iter();
    let unpriced = models.filter(|model| model.price.is_none());
    let names = unpriced.map(|model| &*model.name);
    let names: Vec<&str> = names
        .filter(|name| !known.told_prices.contains(name))
        .collect();
    if !names.is_empty() {
        let text_of = format!(
            "asks for a cost or price, which calls to {} don't have: it can't hold for them by that",
            listed(&names)
        );
        findings.warning(&text.at, text_of);
    }
}

/// Whether conditions see the headers that one asks for, which is reported where not.
fn headers_are_seen(
    condition: &Condition,
    text: &Located<String>,
    known: &Known,
    findings: &Findings,
) -> bool {
    let Some(headers) = known.headers else {
        return true;
    };
    let asked = condition
        .keys_asked()
        .filter(|(map, _)| facts::is_of_headers(*map));
    let mut whole = true;
    for (_, name) in asked {
        if !headers.iter().any(|known| **known == *name) {
            let hint = did_you_mean(name, headers.iter().map(|known| &**known));
            let name = shown(name);
            let text_of = format!("there is no header {name} in conditions.headers{hint}");
            findings.problem(&text.at, text_of);
            whole = false;
        }
    }
    whole
}

fn action(raw: &RawAction, words: &Words, findings: &Findings) -> Option<Action> {
    Some(match raw {
        RawAction::Warn(message) => Action::Warn {
            message: message.clone(),
        },
        RawAction::Throttle(throttle) => Action::Throttle(*throttle),
        RawAction::ClampOutput(max_tokens) => Action::ClampOutput {
            max_tokens: *max_tokens,
        },
        RawAction::Downgrade(swap) => Action::Downgrade(downgrade(swap, words, findings)?),
        RawAction::Route(route) => Action::Route(route.clone()),
        RawAction::RequireApproval(approval) => Action::RequireApproval(approval.clone()),
        RawAction::Block(block) => Action::Block(block.clone()),
    })
}

fn downgrade(raw: &RawSwap, words: &Words, findings: &Findings) -> Option<Swap> {
    let mut whole = true;
    for name in &raw.to {
        whole &= words.has_model(name, findings);
    }
    whole.then(|| Swap {
        to: raw.to.iter().map(|name| Arc::clone(&name.value)).collect(),
        drop: raw.drop.clone(),
        refuse: raw.refuse.clone(),
    })
}
