//! How many counters a call may be charged to, at most: what is counted when limits
//! are read, so that no call asks a store for more than it takes.
//!
//! Always holds: it is never less than what a call comes to.

use super::rule::Rules;
use super::{Plan, PlanLimit};
use crate::limits::Unit;

/// What calls may be charged to. Sums and choices of it are made before it is asked
/// for [`Charged::most`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charged {
    limits: usize,
    /// Those of them that a rule may make a call be charged to twice.
    paced: usize,
    /// Whether such a rule is there.
    pub throttles: bool,
    /// Grants: one for each rule that asks for one.
    grants: usize,
}

impl Charged {
    pub fn of_plan(plan: &Plan) -> Self {
        Self::of(&plan.limits).and(Self::of_rules(&plan.rules))
    }

    pub fn of<'l>(limits: impl IntoIterator<Item = &'l PlanLimit>) -> Self {
        let each = limits.into_iter().map(|limit| Self {
            limits: 1,
            paced: usize::from(limit.budget.is_none() && limit.limit.unit != Unit::Concurrency),
            ..Self::default()
        });
        each.fold(Self::default(), Self::and)
    }

    pub fn of_rules(rules: &Rules) -> Self {
        Self {
            grants: rules.grants,
            throttles: rules.throttle_limits,
            ..Self::default()
        }
    }

    /// Of calls to which both apply.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            limits: self.limits + other.limits,
            paced: self.paced + other.paced,
            throttles: self.throttles || other.throttles,
            grants: self.grants + other.grants,
        }
    }

    /// Of calls to which either applies.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            limits: self.limits.max(other.limits),
            paced: self.paced.max(other.paced),
            throttles: self.throttles || other.throttles,
            grants: self.grants.max(other.grants),
        }
    }

    /// The most charges of one call.
    pub fn most(self) -> usize {
        let again = if self.throttles { self.paced } else { 0 };
        self.limits + again + self.grants
    }
}
