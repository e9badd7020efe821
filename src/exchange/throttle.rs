//! Calls that pass only within a part of each of their limits.
//!
//! Such a call is charged to a limit of its own beside each limit
//! ([`Limit::throttled`]), whose counter it shares with other calls that are slowed
//! down. So whatever counts limits, here and while the store is away, counts these.
//!
//! Budgets stay whole: what is above a part of one would be refused until its period
//! ends, which is no pace. So do calls in flight.

use crate::limits::reservation::{counter_id, parts_of_counter_id};
use crate::limits::{Charge, Limit, Unit};
use crate::policy::Terms;
use std::sync::Arc;

/// Charges the call besides to so many thousandths of each limit that it is charged
/// to.
pub(super) fn throttle(charges: &mut Vec<Charge>, terms: Terms, per_mille: u64) {
    let each = charges.iter();
    let each = each.filter(|charge| is_pace(&charge.limit, terms));
    let parts: Vec<Charge> = each
        .filter_map(|charge| {
            let limit = charge.limit.throttled(per_mille);
            let (_, values) = parts_of_counter_id(&charge.counter)?;
            Some(Charge {
                counter: counter_id(&limit.name, &values).into(),
                limit: Arc::new(limit),
                ..*charge
            })
        })
        .collect();
    charges.extend(parts);
}

fn is_pace(limit: &Limit, terms: Terms) -> bool {
    let is_budget = || {
        let mut limits = terms.limits();
        limits.any(|known| known.budget.is_some() && known.limit.name == limit.name)
    };
    limit.unit != Unit::Concurrency && !is_budget()
}
