//! Budgets: limits on money or tokens over a long period, that warn before they
//! bite.
//!
//! A budget is a limit whose counter is a window of a calendar or of a fixed
//! length, and which may carry what it has left into the next (`limits::rollover`);
//! what is told here is what a budget has besides.

use crate::limits::{Charge, Scope, Standing, Unit};
use std::sync::Arc;

/// The most thresholds of a budget.
pub const THRESHOLDS_MAX: usize = 8;

/// What makes a limit a budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// Thousandths of all that a period has at which to warn, rising.
    pub warn_at_per_mille: Vec<u64>,
}

/// A threshold that a budget has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    pub budget: Arc<str>,
    /// The budget's counter in its slot.
    pub counter: Arc<str>,
    /// Whose the counter is.
    pub scope: Scope,
    pub unit: Unit,
    pub threshold_per_mille: u64,
    /// What is taken, the call's own hold included.
    pub used: u64,
    /// With what was added to it, and carried into its period.
    pub amount: u64,
    /// When the period ends, from now, in milliseconds.
    pub resets_in_ms: Option<u64>,
}

impl Budget {
    /// The highest threshold that was passed.
    pub fn passed(&self, charge: &Charge, standing: &Standing) -> Option<Passed> {
        let amount = standing.whole(charge.limit.amount);
        let at = |per_mille: u64| {
            let bound = u128::from(amount) * u128::from(per_mille);
            u128::from(standing.used) * 1_000 >= bound
        };
        let mut thresholds = self.warn_at_per_mille.iter().rev().copied();
        let threshold = thresholds.find(|threshold| at(*threshold))?;
        Some(Passed {
            budget: Arc::clone(&charge.limit.name),
            counter: Arc::clone(&charge.counter),
            scope: charge.limit.scope,
            unit: charge.limit.unit,
            threshold_per_mille: threshold,
            used: standing.used,
            amount,
            resets_in_ms: standing.reset_after.map(|after| after.0),
        })
    }
}
