//! Which limits' counters the ledger can tell of, what to ask it, and to which
//! counter each group of its rows belongs.
//!
//! Always holds: a row is counted for a counter only where a call like it would
//! have been charged to that counter now; what a row doesn't say, or
//! configuration doesn't know any more, is left out.

mod sources;
mod used;

pub(in crate::driver) use used::used_at;

use super::NEARLY_OVER;
use crate::counters::Epoch;
use crate::identity::user_or_key;
use crate::ledger::store::measure::{Dimension as Name, Measure, Sums};
use crate::ledger::store::query::{Condition, Query};
use crate::ledger::store::report::UsageRow;
use crate::limits::reservation::counter_id;
use crate::limits::{Algorithm, Dimension, SHARED_SLOT, Unit};
use crate::policy::{Model, PlanLimit, Snapshot};
use crate::protocol::Endpoint;
use crate::units::UnixMillis;
use sources::{Below, sources};
use std::collections::HashMap;
use std::sync::Arc;

/// The most limits of keys' own that are rebuilt, and the most of what stands below
/// plans: each is a query.
const OWN_LIMITS_MAX: usize = 128;
const TOO_MANY: &str = "keys have too many different limits of their own";
const TOO_MANY_BELOW: &str = "too many different limits stand below plans";

/// The window's own amount is all that its counters begin with.
const NOT_CARRIED: &str =
    "rebuilt, but for what the periods before had left: nothing is carried into this one";

/// A limit whose counters are lost.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    /// `None`: of all tenants together.
    pub plan: Option<Arc<str>>,
    /// Of keys that have these limits of their own; `None`: of a plan or of all.
    own: Option<Arc<str>>,
    /// Of those whom something stands below their plan for; `None`: of others.
    below: Option<Below>,
    pub limit: PlanLimit,
    /// When the window that now runs began and ends.
    pub since: UnixMillis,
    pub until: UnixMillis,
    by: Vec<Name>,
}

/// A limit whose counters stay as they are, or lack something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub limit: Arc<str>,
    /// `None`: of all tenants together.
    pub plan: Option<Arc<str>>,
    pub why: String,
}

/// What counters are to be given, by their slots and names.
pub(super) type Counters = HashMap<(Arc<str>, String), u64>;

/// Who is on which plan now, and which models there are.
pub(in crate::driver) struct Tenants<'s> {
    plans: HashMap<&'s str, &'s str>,
    snapshot: &'s Snapshot,
}

/// The tenants whose groups are read together: as many as one reading of the
/// rollups is worth, and few enough for a database's statement.
const TENANTS_TOGETHER_MAX: usize = 256;

impl<'s> Tenants<'s> {
    /// Those on a plan, a part at a time.
    fn on(&self, plan: &str) -> Vec<Vec<&'s str>> {
        let on = self.plans.iter().filter(|(_, of)| **of == plan);
        let mut on: Vec<&str> = on.map(|(tenant, _)| *tenant).collect();
        on.sort_unstable();
        on.chunks(TENANTS_TOGETHER_MAX).map(<[_]>::to_vec).collect()
    }

    pub(in crate::driver) fn of(snapshot: &'s Snapshot) -> Self {
        let all = snapshot.tenants.iter();
        Self {
            plans: all.map(|(name, tenant)| (&**name, &*tenant.plan)).collect(),
            snapshot,
        }
    }
}

/// The limits whose counters lost what ended before `before`, and those that must
/// do without the ledger.
pub(super) fn lost(
    snapshot: &Snapshot,
    before: UnixMillis,
    now: UnixMillis,
) -> (Vec<Lost>, Vec<LeftOut>) {
    let (mut asked, mut left_out) = (Vec::new(), Vec::new());
    let (mut of_keys, mut of_below) = (0, 0);
    for source in sources(snapshot) {
        let limit = source.limit;
        let mut leave_out = |why: &str| {
            left_out.push(LeftOut {
                limit: Arc::clone(&limit.limit.name),
                plan: source.plan.cloned(),
                why: why.to_owned(),
            });
        };
        let (since, until) = match window(limit, now) {
            Ok(Some((since, until))) if since < before => (since, until),
            // What began since then is known.
            Ok(_) => continue,
            Err(why) => {
                leave_out(why);
                continue;
            }
        };
        let mut others = 0;
        let (queries, too_many) = match (&source.own, &source.below) {
            (_, Some(_)) => (&mut of_below, TOO_MANY_BELOW),
            (Some(_), None) => (&mut of_keys, TOO_MANY),
            (None, None) => (&mut others, TOO_MANY),
        };
        if *queries >= OWN_LIMITS_MAX {
            leave_out(too_many);
            continue;
        }
        *queries += 1;
        if carries(limit) {
            leave_out(NOT_CARRIED);
        }
        asked.push(Lost {
            by: names(limit),
            limit: limit.clone(),
            own: source.own.cloned(),
            below: source.below,
            plan: source.plan.cloned(),
            since,
            until,
        });
    }
    (asked, left_out)
}

/// Whether what is left of its windows goes into the next.
fn carries(limit: &PlanLimit) -> bool {
    let algorithm = &limit.limit.algorithm;
    matches!(
        algorithm,
        Algorithm::FixedWindow {
            rollover: Some(_),
            ..
        }
    )
}

/// When the limit's window began and ends; `None` where there is nothing to
/// rebuild, an error where there is and it can't be.
fn window(
    limit: &PlanLimit,
    now: UnixMillis,
) -> Result<Option<(UnixMillis, UnixMillis)>, &'static str> {
    match span(limit, now)? {
        Some((_, until)) if until.since(now) < NEARLY_OVER => Err("its window is nearly over"),
        span => Ok(span),
    }
}

/// When the window began and ends in which a time lies; else as [`window`].
fn span(
    limit: &PlanLimit,
    now: UnixMillis,
) -> Result<Option<(UnixMillis, UnixMillis)>, &'static str> {
    if limit.when.condition.is_some() {
        return Err("what its condition asks of calls isn't in the ledger");
    }
    match &limit.limit.algorithm {
        Algorithm::FixedWindow { period, .. } => {
            let since = period
                .start(now)
                .ok_or("its windows begin with their first hit, and when that was is lost")?;
            Ok(Some((since, period.end(now))))
        }
        Algorithm::SlidingWindow { .. } => Err("a sliding window begins anew"),
        Algorithm::TokenBucket { .. } | Algorithm::LeakyBucket { .. } => {
            Err("a bucket begins full")
        }
        // Whoever has a lease renews it.
        Algorithm::Concurrency => Ok(None),
    }
}

/// By what the ledger's rows are told apart.
fn names(PlanLimit { limit, when, .. }: &PlanLimit) -> Vec<Name> {
    let mut names = Vec::new();
    for dimension in limit.scope.dimensions() {
        let of: &[Name] = match dimension {
            Dimension::Tenant => &[Name::Tenant],
            Dimension::Project => &[Name::Project],
            Dimension::Environment => &[Name::Environment],
            Dimension::User => &[Name::User, Name::Key],
            Dimension::Key => &[Name::Key],
            Dimension::Model | Dimension::Tier => &[Name::Model],
            Dimension::Endpoint => &[Name::Endpoint],
            Dimension::Provider => &[Name::Provider],
        };
        names.extend_from_slice(of);
    }
    if !(when.models.is_empty() && when.tiers.is_empty() && when.endpoints.is_empty()) {
        names.extend([Name::Model, Name::Endpoint]);
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// A group of rows, by its names.
struct Group<'r> {
    by: &'r [Name],
    names: &'r [Option<String>],
}

impl<'r> Group<'r> {
    fn name(&self, wanted: Name) -> Option<&'r str> {
        let place = self.by.iter().position(|name| *name == wanted)?;
        self.names.get(place)?.as_deref()
    }
}

impl Lost {
    /// What began in the window and before the loss, and was not void; of a plan's
    /// limit a part of its tenants at a time, so that however many there are, the
    /// groups of few are in memory.
    pub(super) fn queries(&self, epoch: Epoch, tenants: &Tenants) -> Vec<Query> {
        let not_void = Condition::is_not(Name::Outcome, "void");
        let query = |only| Query {
            group_by: self.by.clone(),
            only,
            ..Query::of(self.since, self.until.min(epoch.since))
        };
        if let Some(below) = &self.below {
            let theirs = below.iter().map(|(of, name)| Condition::is(*of, name));
            return vec![query(std::iter::once(not_void).chain(theirs).collect())];
        }
        let Some(plan) = &self.plan else {
            return vec![query(vec![not_void])];
        };
        let of_plan = Condition::is(Name::Plan, plan);
        // Those on it that aren't configured have no names here.
        if tenants.snapshot.default_plan.as_ref() == Some(plan) {
            return vec![query(vec![not_void, of_plan])];
        }
        let parts = tenants.on(plan).into_iter().map(|some| Condition {
            dimension: Name::Tenant,
            among: true,
            names: some.into_iter().map(|name| Some(name.to_owned())).collect(),
        });
        parts
            .map(|some| query(vec![not_void.clone(), of_plan.clone(), some]))
            .collect()
    }

    pub(super) fn left_out(&self, why: String) -> LeftOut {
        LeftOut {
            limit: Arc::clone(&self.limit.limit.name),
            plan: self.plan.clone(),
            why,
        }
    }

    /// Adds what these groups are worth to what each counter, by its slot and name,
    /// is to be given.
    pub(super) fn add(&self, tenants: &Tenants, rows: &[UsageRow], counters: &mut Counters) {
        for row in rows {
            let group = Group {
                by: &self.by,
                names: &row.names,
            };
            let amount = amount(self.limit.limit.unit, &row.sums);
            if amount > 0
                && let Some(place) = self.place(tenants, &group)
            {
                let sum = counters.entry(place).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
    }

    /// The counter that calls of the group are charged to, if they are.
    fn place(&self, tenants: &Tenants, group: &Group) -> Option<(Arc<str>, String)> {
        let limit = &self.limit.limit;
        let slot = match limit.scope.is_shared() {
            true => SHARED_SLOT,
            false => {
                let tenant = group.name(Name::Tenant)?;
                // Of a tenant that has left the plan nothing is charged to it.
                let plan = tenants.plans.get(tenant).copied();
                let plan = plan.or(tenants.snapshot.default_plan.as_deref())?;
                if self.plan.as_deref().is_some_and(|of| of != plan) {
                    return None;
                }
                tenant
            }
        };
        if let Some(own) = &self.own {
            let key = tenants.snapshot.keys.by_id(group.name(Name::Key)?)?;
            (key.account().limits.as_ref() == Some(own)).then_some(())?;
        }
        let model = || tenants.snapshot.models.get(group.name(Name::Model)?);
        if !self.applies(group, model().map(|model| &**model)) {
            return None;
        }
        let mut values: Vec<String> = Vec::new();
        for dimension in limit.scope.dimensions() {
            values.push(match dimension {
                Dimension::Tenant => group.name(Name::Tenant)?.to_owned(),
                // Those who have none count together.
                Dimension::Project => group.name(Name::Project).unwrap_or_default().to_owned(),
                Dimension::Environment => {
                    group.name(Name::Environment).unwrap_or_default().to_owned()
                }
                Dimension::User => user_or_key(group.name(Name::User), group.name(Name::Key)?),
                Dimension::Key => group.name(Name::Key)?.to_owned(),
                Dimension::Model => group.name(Name::Model)?.to_owned(),
                Dimension::Tier => model()?.tier.as_deref().unwrap_or_default().to_owned(),
                Dimension::Endpoint => group.name(Name::Endpoint)?.to_owned(),
                Dimension::Provider => group.name(Name::Provider).unwrap_or_default().to_owned(),
            });
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        Some((slot.into(), counter_id(&limit.name, &values)))
    }

    /// Whether the limit is for such calls.
    fn applies(&self, group: &Group, model: Option<&Model>) -> bool {
        let when = &self.limit.when;
        if when.models.is_empty() && when.tiers.is_empty() && when.endpoints.is_empty() {
            return true;
        }
        let path = group.name(Name::Endpoint);
        let endpoint = Endpoint::all().find(|endpoint| Some(endpoint.path()) == path);
        match (model, endpoint) {
            (Some(model), Some(endpoint)) => when.holds(model, endpoint),
            _ => false,
        }
    }
}

/// What a limit on this unit was charged.
pub(super) fn amount(unit: Unit, sums: &Sums) -> u64 {
    let sum = match unit {
        Unit::Requests => sums.get(Measure::Calls),
        Unit::InputTokens => sums.get(Measure::InputTokens),
        Unit::OutputTokens => sums.get(Measure::OutputTokens),
        Unit::Tokens => sums.total_tokens(),
        // As the calls were charged: corrections change no counter.
        Unit::Cost => sums.get(Measure::CostNanos),
        Unit::Concurrency => 0,
    };
    u64::try_from(sum.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
