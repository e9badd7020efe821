//! What was used of grants, for their counters: a row tells which grant let its call
//! through.
//!
//! Left out, and said so: calls whose rows are dropped already.

use super::give::{Given, Sums};
use super::lost::amount;
use super::{LeftOut, Rebuilt};
use crate::counters::Epoch;
use crate::ledger::store::{Store, StoreError};
use crate::limits::{AMOUNT_MAX, Unit};
use crate::policy::Snapshot;
use crate::policy::grants::{Allowance, Grant};
use crate::units::UnixMillis;
use std::collections::BTreeMap;

/// The tenants whose grants are asked for together.
const TENANTS_TOGETHER_MAX: usize = 256;

/// What is rebuilt, as it is told.
const GRANTS: &str = "grants";

/// The grants that hold, have a bound, and may have let calls through before the loss,
/// by tenant.
pub(super) fn lost(
    snapshot: &Snapshot,
    before: UnixMillis,
    now: UnixMillis,
) -> BTreeMap<&str, Vec<&Grant>> {
    let mut lost: BTreeMap<&str, Vec<&Grant>> = BTreeMap::new();
    for grant in snapshot.grants.all() {
        if grant.holds(now) && grant.from < before && grant.allowance != Allowance::Unlimited {
            lost.entry(&grant.tenant).or_default().push(grant);
        }
    }
    lost
}

/// What their counters are to be given.
///
/// # Errors
/// [`StoreError::Away`].
pub(super) async fn sums(
    store: &Store,
    lost: &BTreeMap<&str, Vec<&Grant>>,
    epoch: Epoch,
    rebuilt: &mut Rebuilt,
) -> Result<Vec<Sums>, StoreError> {
    let tenants: Vec<&str> = lost.keys().copied().collect();
    let (mut calls, mut cost) = (Vec::new(), Vec::new());
    for some in tenants.chunks(TENANTS_TOGETHER_MAX) {
        let of = || some.iter().filter_map(|name| lost.get(name)).flatten();
        let since = of().map(|grant| grant.from).min().unwrap_or_default();
        let used = store.sums_of_granted(some, (since, epoch.since), epoch.since);
        let (used, kept_from) = match used.await {
            Ok(used) => used,
            Err(error @ StoreError::Large) => {
                rebuilt.left_out.push(left_out(error.to_string()));
                continue;
            }
            Err(error) => return Err(error),
        };
        if since < kept_from {
            let error = StoreError::NotKept(kept_from);
            rebuilt.left_out.push(left_out(format!("in part: {error}")));
        }
        for grant in of() {
            let (Some(used), Some((limit, counter))) = (used.get(&of_grant(grant)), grant.limit())
            else {
                continue;
            };
            let into = match limit.unit {
                Unit::Cost => &mut cost,
                _ => &mut calls,
            };
            into.push(Given {
                slot: std::sync::Arc::clone(&grant.tenant),
                counter,
                amount: amount(limit.unit, used).min(AMOUNT_MAX),
                limit: limit.into(),
                until: grant.until,
            });
        }
    }
    let all = [(Unit::Requests, calls), (Unit::Cost, cost)].into_iter();
    Ok(all
        .map(|(unit, given)| Sums {
            limit: GRANTS.into(),
            plan: None,
            unit,
            given,
        })
        .collect())
}

fn of_grant(grant: &Grant) -> (String, String) {
    (grant.tenant.to_string(), grant.id.to_string())
}

fn left_out(why: String) -> LeftOut {
    LeftOut {
        limit: GRANTS.into(),
        plan: None,
        why,
    }
}

#[cfg(test)]
mod tests;
