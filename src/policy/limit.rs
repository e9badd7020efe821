//! Which limits apply to a call, and what each charges.

use super::budget::Budget;
use super::facts::{Facts, Named, Needs};
use super::{Estimate, Model, Terms};
use crate::expressions::condition::Condition;
use crate::identity::Principal;
use crate::limits::reservation::write_counter_id;
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

/// Room for the charges of most calls, made at once.
const USUAL: usize = 16;

/// The charges of one call, in the order of the limits.
pub fn charges<'p>(limits: impl IntoIterator<Item = &'p PlanLimit>, facts: &Facts) -> Vec<Charge> {
    let mut charges = Vec::with_capacity(USUAL);
    let mut naming = Naming::of(facts.call);
    charges.extend(applying(limits, facts).map(|limit| charge(limit, &mut naming)));
    charges
}

/// The charges of one call to the limits of its caller's plan and of what stands below
/// it, each by its own time.
pub fn charges_of(terms: Terms, facts: &Facts) -> Vec<Charge> {
    let mut charges = Vec::with_capacity(USUAL);
    let mut naming = Naming::of(facts.call);
    for plan in terms.layers() {
        let facts = facts.in_zone(plan.rules.time_zone.as_ref());
        let limits = applying(&plan.limits, &facts);
        charges.extend(limits.map(|limit| charge(limit, &mut naming)));
    }
    charges
}

fn applying<'p>(
    limits: impl IntoIterator<Item = &'p PlanLimit>,
    facts: &Facts,
) -> impl Iterator<Item = &'p PlanLimit> {
    let limits = limits.into_iter();
    limits.filter(|limit| limit.when.holds_for(facts))
}

fn charge(PlanLimit { limit, hard, .. }: &PlanLimit, naming: &mut Naming) -> Charge {
    let amount = naming.call.estimate.of(limit.unit);
    Charge {
        limit: Arc::clone(limit),
        counter: naming.counter(limit),
        amount,
        room: match hard {
            true => naming.call.most.of(limit.unit),
            false => amount,
        },
    }
}

/// Names a call's counters. What several of them need is made once.
pub(super) struct Naming<'c> {
    call: Call<'c>,
    /// [`Principal::user_or_key`]; empty until it is needed.
    user: String,
    /// The name that is being written.
    id: String,
}

impl<'c> Naming<'c> {
    pub fn of(call: Call<'c>) -> Self {
        Self {
            call,
            user: String::new(),
            id: String::new(),
        }
    }

    pub fn counter(&mut self, limit: &Limit) -> Arc<str> {
        let Self { call, user, id } = self;
        if user.is_empty() && limit.scope.has(Dimension::User) {
            *user = call.who.user_or_key();
        }
        id.clear();
        // Most limits are of these, and need no list.
        match limit.scope {
            Scope::TENANT => write_counter_id(id, &limit.name, &[&call.who.tenant]),
            Scope::USER => write_counter_id(id, &limit.name, &[&call.who.tenant, user]),
            scope => {
                let dimensions = scope.dimensions();
                let values = dimensions.map(|dimension| value(dimension, *call, user));
                write_counter_id(id, &limit.name, &values.collect::<Vec<_>>());
            }
        }
        id.as_str().into()
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
