//! What is charged for good: no hold is left behind, so nothing settles,
//! corrects or expires it.
//!
//! For requests whose end nobody tells, as those of a rate limit service. All
//! charges of a [`Toll`] are taken or none, as a reservation's are.

use super::counter::{Counter, Rule, Unfit};
use super::{Charge, Mode, Retry, Standing, counter};
use crate::units::UnixMillis;
use std::sync::Arc;

/// All that one request is charged for good, taken whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toll {
    /// Whose counters these are: all charges of a slot are taken atomically.
    pub slot: Arc<str>,
    /// At most [`super::CHARGES_MAX`]; never two on the same counter, none on
    /// leases. One that takes nothing asks: it passes where there is the room
    /// that it needs.
    pub charges: Vec<Charge>,
}

/// A store's answer to a toll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// Whether all was taken; nothing was, otherwise.
    pub taken: bool,
    /// One for each charge, in order.
    pub told: Vec<Told>,
}

/// What is known of a toll's fate: what a store answered, or what follows from
/// what it answered a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Whether all was taken; nothing was, otherwise.
    pub taken: bool,
    /// One for each charge, in order; `None` for those that nobody asked about,
    /// where others refuse the toll already.
    pub told: Vec<Option<Told>>,
}

impl From<Paid> for Fate {
    fn from(paid: Paid) -> Self {
        Self {
            taken: paid.taken,
            told: paid.told.into_iter().map(Some).collect(),
        }
    }
}

/// What became of one charge of a toll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Its counter after the decision.
    pub standing: Standing,
    /// There was no room for it, whether that refused it or, in shadow mode,
    /// didn't. When it would pass, then.
    pub lacks: Option<Retry>,
}

/// The rules of a toll's charges, in order, or why it can't be counted.
pub fn rules(toll: &Toll) -> Result<Vec<Rule<'_>>, Unfit> {
    let rules = counter::rules_of(&toll.charges)?;
    // A lease is given back when a call ends, of which a toll hears nothing.
    let leased = rules.iter().any(|rule| matches!(rule, Rule::Leases { .. }));
    if leased {
        return Err(Unfit::Unit);
    }
    Ok(rules)
}

/// Whether all charges pass, by their counters before anything is taken.
pub fn passes(charges: &[Charge], counters: &[Counter], now: UnixMillis) -> bool {
    let mut each = charges.iter().zip(counters);
    each.all(|(charge, counter)| {
        charge.limit.mode == Mode::Shadow || counter.admits(charge.wanted(), now)
    })
}

/// The answer, by the counters after the decision.
pub fn paid(taken: bool, charges: &[Charge], counters: &[Counter], now: UnixMillis) -> Paid {
    let each = charges.iter().zip(counters);
    let told = each.map(|(charge, counter)| {
        let standing = counter.standing(now);
        let wanted = charge.wanted();
        let fits = match taken && charge.amount > 0 {
            // It is among what the counter holds.
            true => !standing.exceeded,
            false => counter.admits(wanted, now),
        };
        Told {
            standing,
            lacks: (!fits).then(|| counter.retry(wanted, now)),
        }
    });
    Paid {
        taken,
        told: told.collect(),
    }
}
