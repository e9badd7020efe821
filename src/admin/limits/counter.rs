//! A counter as operators are told of it.

use crate::driver::Inspected;
use crate::limits::{AMOUNT_MAX, Algorithm, Mode};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A counter as it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::admin) struct Counter {
    limit: String,
    /// Whose it is: names by dimension.
    of: BTreeMap<&'static str, String>,
    /// Other tenants' calls count too.
    pub(in crate::admin) shared: bool,
    unit: &'static str,
    /// Whether it is a budget.
    budget: bool,
    /// Of a budget: thousandths of all that it has at which it warns.
    warn_at_per_mille: Vec<u64>,
    /// As it is configured.
    amount: u64,
    /// What was added to it once, and counts now.
    topped_up: u64,
    /// What its period has besides, of what those before it had left.
    carried: u64,
    /// All that it gives now: the amount, what was added and what was carried; of a
    /// bucket the most at once.
    effective: u64,
    /// The most that one call can ever be given.
    most: u64,
    used: u64,
    /// What of it open calls hold; null: that isn't known.
    held: Option<u64>,
    /// What of it calls that are over have used; null: that isn't known.
    spent: Option<u64>,
    remaining: u64,
    reset_after_ms: Option<u64>,
    /// Whether it refuses nothing, and only tells of what it would refuse.
    shadow: bool,
}

impl Counter {
    pub(super) fn of(inspected: &Inspected) -> Self {
        let (counted, standing) = (&inspected.counted, &inspected.standing);
        let limit = &counted.limit;
        let raised = |amount: u64| amount.saturating_add(inspected.topped_up).min(AMOUNT_MAX);
        let is_bucket = matches!(
            limit.algorithm,
            Algorithm::TokenBucket { .. } | Algorithm::LeakyBucket { .. }
        );
        let of = counted.of.iter();
        Self {
            limit: limit.name.to_string(),
            of: of
                .map(|(dimension, name)| (dimension.as_str(), name.to_string()))
                .collect(),
            shared: inspected.shared,
            unit: limit.unit.as_str(),
            budget: counted.budget.is_some(),
            warn_at_per_mille: counted
                .budget
                .as_ref()
                .map_or_else(Vec::new, |budget| budget.warn_at_per_mille.clone()),
            amount: limit.amount,
            topped_up: inspected.topped_up,
            carried: standing.carried,
            effective: match is_bucket {
                true => limit.most(),
                false => standing.whole(raised(limit.amount)),
            },
            most: match is_bucket {
                true => limit.most(),
                false => raised(limit.most()),
            },
            used: standing.used,
            held: inspected.held,
            spent: inspected
                .held
                .map(|held| standing.used.saturating_sub(held)),
            remaining: standing.remaining,
            reset_after_ms: standing.reset_after.map(|span| span.0),
            shadow: limit.mode == Mode::Shadow,
        }
    }
}
