//! What was used of one counter at some time, by the ledger: of the calls that began in
//! the window of then, those that had ended.

use super::sources::{Source, sources};
use super::{Counters, Lost, Tenants, names, span};
use crate::ledger::store::measure::Dimension as Name;
use crate::ledger::store::query::{Condition, Query};
use crate::ledger::store::{Store, StoreError};
use crate::limits::{AMOUNT_MAX, Charge, SHARED_SLOT};
use crate::units::UnixMillis;

/// `None`: the ledger can't tell, as of a window that slides, or of rows and sums that
/// are dropped.
///
/// # Errors
/// [`StoreError::Away`] and the like.
pub(in crate::driver) async fn used_at(
    store: &Store,
    tenants: &Tenants<'_>,
    (tenant, charge): (&str, &Charge),
    at: UnixMillis,
) -> Result<Option<u64>, StoreError> {
    let mut known = None;
    for source in sources(tenants.snapshot) {
        if !is_of(&source, tenants, tenant, charge) {
            continue;
        }
        let Ok(Some((since, until))) = span(source.limit, at) else {
            continue;
        };
        let lost = Lost {
            by: names(source.limit),
            limit: source.limit.clone(),
            own: source.own.cloned(),
            below: source.below,
            plan: source.plan.cloned(),
            since,
            until,
        };
        let rows = match store.sums_of_ended(&lost.query_of(tenant, at), at).await {
            Ok(rows) => rows,
            Err(error) if is_lack(&error) => continue,
            Err(error) => return Err(error),
        };
        let mut counters = Counters::new();
        lost.add(tenants, &rows, &mut counters);
        let slot = if lost.is_shared() {
            SHARED_SLOT
        } else {
            tenant
        };
        let used = counters.get(&(slot.into(), charge.counter.to_string()));
        let used = used.copied().unwrap_or(0).min(AMOUNT_MAX);
        // Two of one name count together; each knows of its own calls.
        known = known.max(Some(used));
    }
    Ok(known)
}

/// Whether it may be the limit that such a charge is of.
fn is_of(source: &Source, tenants: &Tenants, tenant: &str, charge: &Charge) -> bool {
    let (one, limit) = (&source.limit.limit, &charge.limit);
    let plan = tenants.snapshot.plan_of(tenant);
    // What was added to it makes its amount another.
    one.name == limit.name
        && one.unit == limit.unit
        && one.scope == limit.scope
        && one.algorithm == limit.algorithm
        && source.plan.is_none_or(|of| Some(of) == plan)
}

/// Whether the ledger answered, and has it no more.
fn is_lack(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotKept(_)
            | StoreError::QuartersNotKept(_)
            | StoreError::DaysNotKept(_)
            | StoreError::Report(_)
            | StoreError::Large
    )
}

impl Lost {
    fn is_shared(&self) -> bool {
        self.limit.limit.scope.is_shared()
    }

    /// What began in the window and before a time, of one tenant where the counters are
    /// its own.
    fn query_of(&self, tenant: &str, at: UnixMillis) -> Query {
        let mut only = vec![Condition::is_not(Name::Outcome, "void")];
        if !self.is_shared() {
            only.push(Condition::is(Name::Tenant, tenant));
        }
        let below = self.below.iter().flatten();
        let below = below.filter(|(of, _)| *of != Name::Tenant);
        only.extend(below.map(|(of, name)| Condition::is(*of, name)));
        Query {
            group_by: self.by.clone(),
            only,
            ..Query::of(self.since, self.until.min(at))
        }
    }
}
