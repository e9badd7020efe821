//! Budgets: what they have besides what limits have.

use crate::config::AsDollars;
use crate::config::problem::Findings;
use crate::config::raw::budgets::{RawBudget, RawRollover};
use crate::limits::rollover::{AMOUNTS_MAX, EVERY_MAX};
use crate::limits::{AMOUNT_MAX, Algorithm, Limit, Rollover, Unit};
use crate::policy::PlanLimit;
use crate::policy::budget::Budget;
use std::sync::Arc;

/// A budget, of which the limit is known; `None` after a problem.
pub fn resolve(raw: &RawBudget, limit: PlanLimit, findings: &Findings) -> Option<PlanLimit> {
    let thresholds = raw.warn_at.iter().map(|share| share.value);
    Some(PlanLimit {
        // What is expected of a call may be held; the most that it can come to must
        // fit, as nothing of it is free.
        hard: limit.limit.unit.is_of_output(),
        budget: Some(Arc::new(Budget {
            warn_at_per_mille: thresholds.collect(),
        })),
        limit: rolling(raw, &limit.limit, findings)?,
        ..limit
    })
}

/// The limit with its rollover.
fn rolling(raw: &RawBudget, limit: &Arc<Limit>, findings: &Findings) -> Option<Arc<Limit>> {
    let Some(written) = &raw.rollover else {
        return Some(Arc::clone(limit));
    };
    let amount = limit.amount;
    let most = match written.value {
        RawRollover::Amount(most) => most,
        RawRollover::Share(hundredths) => {
            let most = u128::from(amount) * u128::from(hundredths) / 100;
            u64::try_from(most).unwrap_or(u64::MAX)
        }
    };
    let problem = |text: String| {
        findings.problem(&written.at, text);
        None
    };
    let Algorithm::FixedWindow { period, .. } = &limit.algorithm else {
        return problem("is only for budgets of a period".to_owned());
    };
    if period.shortest() > EVERY_MAX {
        return problem("is only for periods of a year at most".to_owned());
    }
    let shown = |amount: u64| match limit.unit {
        Unit::Cost => format!("{} USD", AsDollars(amount)),
        _ => amount.to_string(),
    };
    if most == 0 {
        return problem("is less than can be counted".to_owned());
    }
    if most > amount.saturating_mul(AMOUNTS_MAX) {
        let text = format!(
            "must be at most {AMOUNTS_MAX} times the amount of {} (got {})",
            shown(amount),
            shown(most)
        );
        return problem(text);
    }
    if amount.saturating_add(most) > AMOUNT_MAX {
        return problem(format!(
            "must leave the sum with the amount below {}",
            shown(AMOUNT_MAX)
        ));
    }
    let algorithm = Algorithm::FixedWindow {
        period: Arc::clone(period),
        rollover: Some(Rollover { amount, most }),
    };
    Some(Arc::new(Limit {
        algorithm,
        ..Limit::clone(limit)
    }))
}
