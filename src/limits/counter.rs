//! One counter as a value, whatever its algorithm: what both engines judge by.
//!
//! A [`Rule`] is a limit made ready to count; a [`Counter`] is what is counted
//! so far. [`judge`] decides a whole reservation over its counters. Storing
//! them is left to `counters`.

use super::concurrency::Occupancy;
use super::fixed_window::{FixedWindow, Turns};
use super::period::{self, Period};
use super::rollover::{self, Rollover};
use super::sliding_window::{self, Window};
use super::token_bucket::{self, Bucket, Rate};
use super::{
    AMOUNT_MAX, Algorithm, Charge, Limit, Mode, Refusal, Reservation, Retry, Standing, Unit,
};
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;

/// The longest that a hold or lease may live unrenewed: a week. Bounds how long
/// the leftovers of a dead fleet are kept.
pub const HOLD_TTL_MAX: Millis = Millis::from_mins(7 * 24 * 60);

/// Why a reservation can't be counted. Configuration refuses such limits, so
/// this means a fault of weir's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("more than {} charges", super::CHARGES_MAX)]
    TooManyCharges,
    #[error("two charges on one counter")]
    Repeated,
    #[error("a limit of 0 or beyond 2^53 - 1, or a lease that is not for one call")]
    Amount,
    #[error("a window of 0 ms or more than 50 years")]
    Every,
    #[error("a token bucket that {0}")]
    Bucket(#[from] token_bucket::Fault),
    #[error("a unit that its algorithm can't count")]
    Unit,
    #[error("a rollover of nothing, of too much, or of windows that can't carry")]
    Rollover,
    #[error("a lifetime of 0 ms or more than a week")]
    Ttl,
}

/// A limit's parameters, ready to count with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule<'l> {
    Fixed {
        limit: u64,
        period: &'l Arc<Period>,
        rollover: Option<Rollover>,
    },
    Window {
        limit: u64,
        sub_ms: u64,
    },
    Bucket(Rate),
    Leases {
        limit: u64,
    },
}

impl<'l> Rule<'l> {
    pub fn of(limit: &'l Limit) -> Result<Self, Unfit> {
        if !(1..=AMOUNT_MAX).contains(&limit.amount) {
            return Err(Unfit::Amount);
        }
        let leased = limit.algorithm == Algorithm::Concurrency;
        if leased != (limit.unit == Unit::Concurrency) {
            return Err(Unfit::Unit);
        }
        match &limit.algorithm {
            Algorithm::FixedWindow { period, rollover } => {
                let shortest = period.shortest();
                if shortest.0 == 0 || shortest > period::EVERY_MAX {
                    return Err(Unfit::Every);
                }
                let unfit = |rollover: Rollover| {
                    let carries = period.from_first_hit().is_none();
                    !carries || shortest > rollover::EVERY_MAX || !rollover.is_sound()
                };
                if rollover.is_some_and(unfit) {
                    return Err(Unfit::Rollover);
                }
                Ok(Rule::Fixed {
                    limit: limit.amount,
                    period,
                    rollover: *rollover,
                })
            }
            Algorithm::SlidingWindow { every } => {
                if every.0 == 0 || *every > sliding_window::EVERY_MAX {
                    return Err(Unfit::Every);
                }
                Ok(Rule::Window {
                    limit: limit.amount,
                    sub_ms: sliding_window::sub_window_ms(*every),
                })
            }
            Algorithm::TokenBucket { every, burst } | Algorithm::LeakyBucket { every, burst } => {
                Ok(Rule::Bucket(Rate::new(limit.amount, *every, *burst)?))
            }
            Algorithm::Concurrency => Ok(Rule::Leases {
                limit: limit.amount,
            }),
        }
    }
}

impl Rule<'_> {
    /// Whether where its windows end is computed before its store is asked.
    pub fn goes_by_the_clock(&self) -> bool {
        match self {
            Rule::Fixed { period, .. } => period.from_first_hit().is_none(),
            Rule::Window { .. } | Rule::Bucket(_) | Rule::Leases { .. } => false,
        }
    }
}

/// The rules of a reservation's charges, in order, or why it can't be counted.
pub fn rules(reservation: &Reservation) -> Result<Vec<Rule<'_>>, Unfit> {
    let rules = rules_of(&reservation.charges)?;
    let ttls = [reservation.hold_ttl, reservation.lease_ttl];
    if ttls.iter().any(|ttl| ttl.0 == 0 || *ttl > HOLD_TTL_MAX) {
        return Err(Unfit::Ttl);
    }
    Ok(rules)
}

/// The rules of charges that only ask how their counters stand.
pub fn rules_of_looks(charges: &[Charge]) -> Result<Vec<Rule<'_>>, Unfit> {
    charges
        .iter()
        .map(|charge| Rule::of(&charge.limit))
        .collect()
}

/// The rules of charges that are taken together, in order.
pub(super) fn rules_of(charges: &[Charge]) -> Result<Vec<Rule<'_>>, Unfit> {
    if charges.len() > super::CHARGES_MAX {
        return Err(Unfit::TooManyCharges);
    }
    let mut rules = Vec::with_capacity(charges.len());
    for (index, charge) in charges.iter().enumerate() {
        let repeated = charges
            .iter()
            .take(index)
            .any(|other| other.counter == charge.counter);
        if repeated {
            return Err(Unfit::Repeated);
        }
        let rule = Rule::of(&charge.limit)?;
        if matches!(rule, Rule::Leases { .. }) && charge.amount != 1 {
            return Err(Unfit::Amount);
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// A counter's state, brought up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter<'l> {
    Fixed {
        limit: u64,
        turns: Turns<'l>,
        window: FixedWindow,
    },
    Window {
        limit: u64,
        window: Window,
    },
    Bucket(Bucket),
    Leases {
        limit: u64,
        occupancy: Occupancy,
    },
}

impl Counter<'_> {
    pub(super) fn admits(&self, amount: u64, now: UnixMillis) -> bool {
        match self {
            Counter::Fixed { limit, window, .. } => window.admits(amount, *limit),
            Counter::Window { limit, window } => window.admits(amount, *limit, now),
            Counter::Bucket(bucket) => bucket.admits(amount),
            Counter::Leases { limit, occupancy } => occupancy.admits(*limit),
        }
    }

    pub(super) fn retry(&self, amount: u64, now: UnixMillis) -> Retry {
        match self {
            Counter::Fixed {
                limit,
                turns,
                window,
            } => window.retry(amount, *limit, *turns, now),
            Counter::Window { limit, window } => window.retry(amount, *limit, now),
            Counter::Bucket(bucket) => bucket.retry(amount, now),
            Counter::Leases { occupancy, .. } => occupancy.retry(),
        }
    }

    pub fn standing(&self, now: UnixMillis) -> Standing {
        match self {
            Counter::Fixed { limit, window, .. } => window.standing(*limit, now),
            Counter::Window { limit, window } => window.standing(*limit, now),
            Counter::Bucket(bucket) => bucket.standing(now),
            Counter::Leases { limit, occupancy } => occupancy.standing(*limit),
        }
    }
}

/// How each of them stands, in order.
pub fn standings(counters: &[Counter], now: UnixMillis) -> Vec<Standing> {
    let each = counters.iter();
    each.map(|counter| counter.standing(now)).collect()
}

/// Why these charges don't all pass, or `None` where they do. Of several
/// refusals the one that takes longest: `Never`, then the longest `After`, then
/// `WhenOneEnds`, which promises nothing; of equals the first.
pub fn judge(charges: &[Charge], counters: &[Counter], now: UnixMillis) -> Option<Refusal> {
    let mut worst: Option<Refusal> = None;
    for (index, (charge, counter)) in charges.iter().zip(counters).enumerate() {
        if charge.limit.mode == Mode::Shadow || counter.admits(charge.wanted(), now) {
            continue;
        }
        let retry = counter.retry(charge.wanted(), now);
        if worst.is_some_and(|worst| wait(worst.retry) >= wait(retry)) {
            continue;
        }
        let standing = counter.standing(now);
        worst = Some(Refusal {
            charge: index,
            used: standing.used,
            requested: charge.wanted(),
            remaining: standing.remaining,
            reset_after: standing.reset_after,
            retry,
        });
    }
    worst
}

/// Which of several refusals takes longest.
pub(super) fn wait(retry: Retry) -> (u8, Millis) {
    match retry {
        Retry::WhenOneEnds => (0, Millis(0)),
        Retry::After(span) => (1, span),
        Retry::Never => (2, Millis(0)),
    }
}
