//! Which limits apply to a call, and what each charges.

use super::budget::Budget;
use super::facts::{Facts, Named, Needs};
use super::{Estimate, Model, Terms};
use crate::expressions::condition::Condition;
use crate::identity::Principal;
use crate::limits::reservation::counter_id;
use crate::limits::{Charge, Dimension, Limit, Scope};
use crate::protocol::Endpoint;
use std::sync::Arc;

/// A limit of a plan, and the calls that it applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLimit {
    pub limit: Arc<Limit>,
    /// A call passes only where there is room for the most that it can use,
    /// though it hold no more than what is expected of it.
    pub hard: bool,
    pub when: When,
    /// Where it is a budget.
    pub budget: Option<Arc<Budget>>,
}

/// Conditions on a call; all must hold, an empty list always does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    pub models: Vec<Arc<str>>,
    pub tiers: Vec<Arc<str>>,
    pub endpoints: Vec<Endpoint>,
    /// It speaks of no counters.
    pub condition: Option<Condition>,
}

/// What limits look at in a call.
#[derive(Debug, Clone, Copy)]
pub struct Call<'c> {
    pub who: &'c Principal,
    pub model: &'c Model,
    pub endpoint: Endpoint,
    /// What it is expected to use, which is held.
    pub estimate: Estimate,
    /// The most that it can use.
    pub most: Estimate,
}

/// In every call.
impl From<Limit> for PlanLimit {
    fn from(limit: Limit) -> Self {
        Self {
            limit: Arc::new(limit),
            hard: false,
            when: When::default(),
            budget: None,
        }
    }
}

impl When {
    /// Of a call of which all is known.
    pub fn holds_for(&self, facts: &Facts) -> bool {
        let Call {
            model, endpoint, ..
        } = facts.call;
        let condition = self.condition.as_ref();
        let named = Named { facts, names: &[] };
        self.holds(model, endpoint)
            // What can't be told of a call doesn't free it from a limit.
            && condition.is_none_or(|condition| condition.holds(&named).unwrap_or(true))
    }

    /// What its condition has to be told of a call. Allocates nothing.
    pub fn needs(&self) -> Needs {
        let condition = self.condition.as_ref();
        condition.map_or(Needs::default(), |condition| Needs::of(condition.fields()))
    }

    /// Of any call for this model, as far as that decides.
    pub fn holds(&self, model: &Model, endpoint: Endpoint) -> bool {
        let tier = model.tier.as_ref();
        (self.models.is_empty() || self.models.contains(&model.name))
            && (self.tiers.is_empty() || tier.is_some_and(|tier| self.tiers.contains(tier)))
            && (self.endpoints.is_empty() || self.endpoints.contains(&endpoint))
    }
}

/// The charges of one call, in the order of the limits.
pub fn charges<'p>(limits: impl IntoIterator<Item = &'p PlanLimit>, facts: &Facts) -> Vec<Charge> {
    let limits = limits.into_iter();
    let applying = limits.filter(|limit| limit.when.holds_for(facts));
    applying.map(|limit| charge(limit, facts.call)).collect()
}

/// The charges of one call to the limits of its caller's plan and of what stands below
/// it, each by its own time.
pub fn charges_of(terms: Terms, facts: &Facts) -> Vec<Charge> {
    let layers = terms.layers();
    let charges = layers.flat_map(|plan| {
        let facts = facts.in_zone(plan.rules.time_zone.as_ref());
        charges(&plan.limits, &facts)
    });
    charges.collect()
}

fn charge(PlanLimit { limit, hard, .. }: &PlanLimit, call: Call) -> Charge {
    let amount = call.estimate.of(limit.unit);
    Charge {
        limit: Arc::clone(limit),
        counter: counter(limit, call).into(),
        amount,
        room: match hard {
            true => call.most.of(limit.unit),
            false => amount,
        },
    }
}

pub(super) fn counter(limit: &Limit, call: Call) -> String {
    // Most limits are of these, and need no list.
    match limit.scope {
        Scope::TENANT => counter_id(&limit.name, &[&call.who.tenant]),
        Scope::USER => counter_id(&limit.name, &[&call.who.tenant, &call.who.user_or_key()]),
        scope => {
            let user = call.who.user_or_key();
            let values: Vec<&str> = scope
                .dimensions()
                .map(|dimension| value(dimension, call, &user))
                .collect();
            counter_id(&limit.name, &values)
        }
    }
}

/// What a call is in a dimension; no name is empty, so calls that are nothing
/// there count together.
pub(super) fn value<'c>(dimension: Dimension, call: Call<'c>, user: &'c str) -> &'c str {
    let Call {
        who,
        model,
        endpoint,
        ..
    } = call;
    let name = match dimension {
        Dimension::Tenant => Some(&who.tenant),
        Dimension::Project => who.project.as_ref(),
        Dimension::Environment => who.environment.as_ref(),
        Dimension::User => return user,
        Dimension::Key => Some(&who.key_id),
        Dimension::Model => Some(&model.name),
        Dimension::Tier => model.tier.as_ref(),
        Dimension::Endpoint => return endpoint.path(),
        Dimension::Provider => model.provider.as_ref(),
    };
    name.map_or("", |name| name)
}

#[cfg(test)]
mod tests;
