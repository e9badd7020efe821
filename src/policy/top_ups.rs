//! What was added to budgets once, until a time: by tenant, for a counter each.
//!
//! A top-up is for the period of its budget in which it was made, and for no other:
//! so none is paid out twice. What is added to a budget for ever stays.
//!
//! Always holds: what is over counts for nothing; of a tenant no more than
//! [`TOP_UPS_OF_TENANT_MAX`] are held; a sum never passes what counters can hold; what
//! was meant as money is never taken for tokens.
//!
//! Left to others: where they are kept (`accounts`), who may add (`admin`), and the
//! budget itself.

use super::{PlanLimit, Snapshot};
use crate::limits::period::Period;
use crate::limits::reservation::counter_id;
use crate::limits::{AMOUNT_MAX, Algorithm, Dimension, Limit, Scope, Unit};
use crate::units::UnixMillis;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The most of a tenant that hold at a time: each call's budgets are compared with
/// them.
pub const TOP_UPS_OF_TENANT_MAX: usize = 1_000;

/// What is added to a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUp {
    pub id: Arc<str>,
    pub tenant: Arc<str>,
    /// The budget's name.
    pub budget: Arc<str>,
    /// Whose, within the tenant, as names by dimension, in the order of
    /// [`Dimension::ALL`]; empty: the tenant's.
    pub of: Vec<(Dimension, Arc<str>)>,
    /// [`TopUp::counter_of`] them.
    pub counter: Arc<str>,
    /// Whether it is money ([`Unit::Cost`]) or tokens ([`Unit::Tokens`]).
    pub unit: Unit,
    /// Nano-dollars or tokens, at least 1, at most [`AMOUNT_MAX`].
    pub amount: u64,
    pub from: UnixMillis,
    /// It counts no more then.
    pub until: UnixMillis,
    /// Who gave it, as the audit names them.
    pub by: Arc<str>,
    pub note: Option<Arc<str>>,
}

/// Something that was added, or taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopUpChange {
    Added(TopUp),
    /// One of this id counts no more.
    Revoked(Arc<str>),
}

/// All that are known, by tenant. Cheap to change: what a change doesn't touch is
/// shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopUps {
    tenants: HashMap<Arc<str>, Arc<Vec<TopUp>>>,
}

impl TopUp {
    /// The counter of a budget for such calls of a tenant, as a call is charged to
    /// it.
    pub fn counter_of(budget: &str, tenant: &str, of: &[(Dimension, Arc<str>)]) -> Arc<str> {
        let mut of: Vec<&(Dimension, Arc<str>)> = of.iter().collect();
        of.sort_unstable_by_key(|(dimension, _)| place(*dimension));
        let users: Vec<String> = of
            .iter()
            .map(|(dimension, name)| value(*dimension, name))
            .collect();
        let values = std::iter::once(tenant).chain(users.iter().map(String::as_str));
        let values: Vec<&str> = values.collect();
        counter_id(budget, &values).into()
    }

    pub fn holds(&self, now: UnixMillis) -> bool {
        self.from <= now && now < self.until
    }
}

fn place(dimension: Dimension) -> usize {
    let mut all = Dimension::ALL.into_iter();
    all.position(|known| known == dimension)
        .unwrap_or(usize::MAX)
}

/// As `identity::user_or_key` tells users from keys that name none.
fn value(dimension: Dimension, name: &str) -> String {
    match dimension {
        Dimension::User => crate::identity::user_or_key(Some(name), ""),
        _ => name.to_owned(),
    }
}

impl TopUps {
    /// How much was added to a limit's counter of the tenant's in the period that now
    /// runs. Allocates nothing.
    pub fn extra(&self, tenant: &str, counter: &str, limit: &Limit, now: UnixMillis) -> u64 {
        let Some(all) = self.tenants.get(tenant) else {
            return 0;
        };
        let is_money = limit.unit == Unit::Cost;
        let fits = |one: &&TopUp| {
            *one.counter == *counter && one.holds(now) && (one.unit == Unit::Cost) == is_money
        };
        let mut fitting = all.iter().filter(fits).peekable();
        if fitting.peek().is_none() {
            return 0;
        }
        // No look at the calendar where nothing was added.
        let Some(since) = period_of(limit).and_then(|period| period.start(now)) else {
            return 0;
        };
        let of_period = fitting.filter(|one| one.from >= since);
        let sum = of_period.fold(0u64, |sum, one| sum.saturating_add(one.amount));
        sum.min(AMOUNT_MAX)
    }

    pub fn len(&self) -> usize {
        self.tenants.values().map(|all| all.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &TopUp> {
        self.tenants.values().flat_map(|all| all.iter())
    }

    /// What these changes make of it. Of a tenant that has as many as are held, the
    /// new ones count for nothing.
    #[must_use]
    pub fn changed(&self, changes: impl IntoIterator<Item = TopUpChange>) -> Self {
        let (mut after, mut revoked) = (self.clone(), HashSet::new());
        for change in changes {
            match change {
                TopUpChange::Added(top_up) => {
                    revoked.remove(&top_up.id);
                    let all = after.tenants.entry(Arc::clone(&top_up.tenant)).or_default();
                    let all = Arc::make_mut(all);
                    all.retain(|known| known.id != top_up.id);
                    if all.len() < TOP_UPS_OF_TENANT_MAX {
                        all.push(top_up);
                    }
                }
                TopUpChange::Revoked(id) => drop(revoked.insert(id)),
            }
        }
        if !revoked.is_empty() {
            after.retain(|top_up| !revoked.contains(&top_up.id));
        }
        after
    }

    /// Without what is over; `None` where nothing is.
    #[must_use]
    pub fn without_ended(&self, now: UnixMillis) -> Option<Self> {
        let ended = self.iter().any(|top_up| top_up.until <= now);
        ended.then(|| {
            let mut after = self.clone();
            after.retain(|top_up| now < top_up.until);
            after
        })
    }

    fn retain(&mut self, keeps: impl Fn(&TopUp) -> bool) {
        self.tenants.retain(|_, all| {
            if !all.iter().all(&keeps) {
                Arc::make_mut(all).retain(&keeps);
            }
            !all.is_empty()
        });
    }
}

/// The periods of a limit that can be added to: those that end whoever calls.
fn period_of(limit: &Limit) -> Option<&Period> {
    match &limit.algorithm {
        Algorithm::FixedWindow { period, .. } if period.from_first_hit().is_none() => Some(period),
        _ => None,
    }
}

fn written(at: UnixMillis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// Why nothing can be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBudget {
    #[error("the tenant is on no plan")]
    Plan,
    #[error("the tenant's plan has no budget or limit of this name; it has {0}")]
    Unknown(String),
    #[error("{0} counts neither money nor tokens")]
    Unit(Arc<str>),
    #[error("{name} counts {unit}: the amount must be {form}")]
    OtherUnit {
        name: Arc<str>,
        unit: &'static str,
        form: &'static str,
    },
    #[error("{name} is per {scope}: {form}")]
    Scope {
        name: Arc<str>,
        scope: Scope,
        form: String,
    },
    #[error("{0} has no periods that begin and end by themselves, which could be added to")]
    Period(Arc<str>),
    #[error("what is added to {name} ends with its period, at {end}: say no later time, or none")]
    Outlasts { name: Arc<str>, end: String },
    #[error("{0} is for ever, and so is what is added to it: don't say until when")]
    Forever(Arc<str>),
}

/// The budget of this name in the tenant's plan.
///
/// # Errors
/// [`NoBudget::Plan`], [`NoBudget::Unknown`].
pub fn budget_of<'s>(
    snapshot: &'s Snapshot,
    tenant: &str,
    name: &str,
) -> Result<&'s PlanLimit, NoBudget> {
    let plan = snapshot.plan_of(tenant);
    let plan = plan.and_then(|plan| snapshot.plans.get(plan));
    let limits = &plan.ok_or(NoBudget::Plan)?.limits;
    let mut named = limits.iter().filter(|limit| *limit.limit.name == *name);
    named.next().ok_or_else(|| {
        // Only those that can be added to.
        let counts = |limit: &&PlanLimit| {
            matches!(limit.limit.unit, Unit::Cost | Unit::Tokens)
                && period_of(&limit.limit).is_some()
        };
        let names: Vec<&str> = limits
            .iter()
            .filter(counts)
            .map(|limit| &*limit.limit.name)
            .collect();
        NoBudget::Unknown(match names.is_empty() {
            true => "none that counts money or tokens".to_owned(),
            false => names.join(", "),
        })
    })
}

/// Until when something holds that is added to a budget now: until the time that was
/// said, or the end of the budget's period ([`FOREVER`] of one for ever).
///
/// # Errors
/// What doesn't fit: see [`NoBudget`].
pub fn fitting(
    budget: &PlanLimit,
    of: &[(Dimension, Arc<str>)],
    unit: Unit,
    until: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<UnixMillis, NoBudget> {
    let limit = &budget.limit;
    let name = || Arc::clone(&limit.name);
    let form = match limit.unit {
        Unit::Cost => "in dollars, as in 100USD",
        Unit::Tokens | Unit::InputTokens | Unit::OutputTokens => "in tokens, as in 2M",
        Unit::Requests | Unit::Concurrency => return Err(NoBudget::Unit(name())),
    };
    if (limit.unit == Unit::Cost) != (unit == Unit::Cost) {
        let unit = limit.unit.as_str();
        return Err(NoBudget::OtherUnit {
            name: name(),
            unit,
            form,
        });
    }
    let said = Scope::of(of.iter().map(|(dimension, _)| *dimension)).within_tenant();
    if said != limit.scope {
        let parts = limit
            .scope
            .dimensions()
            .filter(|part| *part != Dimension::Tenant);
        let parts: Vec<&str> = parts.map(Dimension::as_str).collect();
        let form = match (limit.scope.is_shared(), parts.is_empty()) {
            (true, _) => "tenants share it, so nothing is added for one".to_owned(),
            (false, true) => "leave out whose it is besides the tenant's".to_owned(),
            (false, false) => format!("say whose it is: {}", parts.join(", ")),
        };
        let scope = limit.scope;
        return Err(NoBudget::Scope {
            name: name(),
            scope,
            form,
        });
    }
    let period = period_of(limit).ok_or_else(|| NoBudget::Period(name()))?;
    let end = period.end(now);
    match until {
        None => Ok(end),
        Some(_) if period.is_forever() => Err(NoBudget::Forever(name())),
        Some(until) if until > end => Err(NoBudget::Outlasts {
            name: name(),
            end: written(end),
        }),
        Some(until) => Ok(until),
    }
}

#[cfg(test)]
mod tests;
