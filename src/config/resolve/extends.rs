//! Plans that extend plans.

use super::limits;
use crate::config::problem::{Findings, did_you_mean, shown};
use crate::config::raw::RawPlan;
use crate::config::raw::budgets::RawBudget;
use crate::config::raw::limits::RawLimit;
use crate::config::raw::plans::RawOutput;
use crate::config::raw::rules::RawRule;
use crate::config::reader::Located;
use crate::policy::OutputRule;
use std::collections::HashMap;
use std::sync::Arc;

/// The most plans of which each extends the next.
const EXTENDS_MAX: usize = 8;

/// A plan with all that it extends, the widest first; at least itself.
pub struct Chain<'r>(Vec<&'r RawPlan>);

/// Plans by name.
pub type Plans<'r> = HashMap<&'r str, &'r RawPlan>;

impl<'r> Chain<'r> {
    /// `None` after a problem.
    pub fn of(plan: &'r RawPlan, plans: &Plans<'r>, findings: &Findings) -> Option<Self> {
        let mut chain = vec![plan];
        let mut at = plan;
        while let Some(named) = &at.extends {
            let Some(next) = plans.get(&*named.value) else {
                unknown_plan(named, plans, findings);
                return None;
            };
            if chain.iter().any(|plan| plan.name.value == next.name.value) {
                let text = format!("the plan {} extends itself this way", shown(&named.value));
                findings.problem(&named.at, text);
                return None;
            }
            if chain.len() == EXTENDS_MAX {
                let text = format!("at most {EXTENDS_MAX} plans may extend one another");
                findings.problem(&named.at, text);
                return None;
            }
            chain.push(next);
            at = next;
        }
        chain.reverse();
        Some(Self(chain))
    }

    /// What is written in one place, on a plan that is written elsewhere.
    pub fn and(mut self, own: &'r RawPlan) -> Self {
        self.0.push(own);
        self
    }

    pub fn alone(own: &'r RawPlan) -> Self {
        Self(vec![own])
    }

    pub fn plans(&self) -> impl DoubleEndedIterator<Item = &'r RawPlan> + '_ {
        self.0.iter().copied()
    }

    /// Limits; one takes the place of an earlier plan's of its name.
    pub fn limits(&self) -> Vec<&'r RawLimit> {
        let lists = self.plans().map(|plan| items(plan.limits.as_ref()));
        merged(lists, limits::name)
    }

    pub fn budgets(&self) -> Vec<&'r RawBudget> {
        let lists = self.plans().map(|plan| items(plan.budgets.as_ref()));
        merged(lists, |budget| {
            budget.name().map(|name| Arc::clone(&name.value))
        })
    }

    pub fn rules(&self) -> Vec<&'r RawRule> {
        let lists = self.plans().map(|plan| items(plan.policies.as_ref()));
        merged(lists, |rule| {
            rule.name.as_ref().map(|name| Arc::clone(&name.value))
        })
    }

    /// The last that says so.
    pub fn last<T>(&self, said: impl Fn(&'r RawPlan) -> Option<T>) -> Option<T> {
        self.plans().rev().find_map(said)
    }

    pub fn output(&self) -> OutputRule {
        let of = |plan: &'r RawPlan| -> &'r RawOutput { &plan.output };
        let value = |field: &Option<Located<u64>>| field.as_ref().map(|field| field.value);
        OutputRule {
            max_tokens_default: self.last(|plan| value(&of(plan).max_tokens_default)),
            max_tokens_cap: self.last(|plan| value(&of(plan).max_tokens_cap)),
            max_tokens_required: self
                .last(|plan| of(plan).max_tokens_required)
                .unwrap_or_default(),
            max_tokens_over: self.last(|plan| of(plan).max_tokens_over),
            choices_cap: self.last(|plan| of(plan).choices_cap),
            choices_over: self.last(|plan| of(plan).choices_over),
            // That comes of what stands below it.
            choices_refused_over: None,
            hold: self.last(|plan| of(plan).hold),
        }
    }
}

fn items<T>(list: Option<&Located<Vec<T>>>) -> &[T] {
    list.map_or(&[], |list| &list.value)
}

/// Within one list a name twice is a mistake, which is reported elsewhere.
fn merged<'r, T>(
    lists: impl Iterator<Item = &'r [T]>,
    name: impl Fn(&T) -> Option<Arc<str>>,
) -> Vec<&'r T> {
    let mut all: Vec<&T> = Vec::new();
    for list in lists {
        let earlier = all.len();
        for item in list {
            let same = |other: &&T| name(other).is_some() && name(other) == name(item);
            let place = all.iter().take(earlier).position(same);
            match place.and_then(|place| all.get_mut(place)) {
                Some(other) => *other = item,
                None => all.push(item),
            }
        }
    }
    all
}

/// Reports that there is no such plan.
pub fn unknown_plan(named: &Located<Arc<str>>, plans: &Plans, findings: &Findings) {
    let hint = did_you_mean(&named.value, plans.keys().copied());
    let text = format!("there is no plan {}{hint}", shown(&named.value));
    findings.problem(&named.at, text);
}
