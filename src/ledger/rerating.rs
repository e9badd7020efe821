//! Past calls at corrected prices: what each costs by the price that holds now,
//! and the corrections that bring it there.
//!
//! | module | for |
//! |---|---|
//! | [`tally`] | what a re-rating changes, by tenant, and what it leaves alone |
//! | [`walk`] | the rows of a span of time, a page at a time |
//!
//! Always holds:
//! - a correction is what a call costs now less what it cost and was corrected
//!   by before, so a re-rating that was cut off is finished by any other one,
//!   and one by the same prices changes nothing;
//! - a call without a price now keeps what it cost;
//! - two re-ratings at once never correct a call twice from the same sum.
//!
//! Left to others: which prices hold now (a function), how a call is charged
//! (`exchange::cost`), how corrections are kept (`store`).

pub mod tally;
pub mod walk;

use crate::exchange::UsageEvent;
use crate::exchange::cost::{Recharge, charged_by, recharge};
use crate::pricing::ModelPrice;
use std::sync::Arc;

/// The prices that hold now: a call's, or `None`.
pub type PriceOf<'a> = dyn FnMut(&UsageEvent) -> Option<Arc<ModelPrice>> + Send + 'a;

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rated {
    /// It costs nothing by any price.
    Nothing,
    /// It keeps what it costs.
    Left(Left),
    /// It costs this now; its correction, where that is something else.
    Priced { delta_nanos: i64, version: Arc<str> },
}

/// Why a call is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// No price is known of its model now.
    NoPrice,
    /// It was charged in a tier of service that this program doesn't know.
    UnknownTier,
    /// Its cost, or its correction, is beyond 63 bits.
    TooLarge,
    /// Its row was dropped meanwhile.
    Dropped,
}

impl Left {
    /// Its word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Left::NoPrice => "no_price",
            Left::UnknownTier => "unknown_tier",
            Left::TooLarge => "too_large",
            Left::Dropped => "dropped",
        }
    }
}

/// Rates a call whose corrections so far come to this.
pub fn rate(event: &UsageEvent, corrected_nanos: i64, price_of: &mut PriceOf<'_>) -> Rated {
    if charged_by(event).is_none() {
        return Rated::Nothing;
    }
    let Some(price) = price_of(event) else {
        return Rated::Left(Left::NoPrice);
    };
    match recharge(event, &price) {
        Recharge::Nothing => Rated::Nothing,
        Recharge::UnknownTier => Rated::Left(Left::UnknownTier),
        Recharge::Costs {
            cost_nanos,
            version,
        } => match delta_nanos(event, corrected_nanos, cost_nanos) {
            Some(delta_nanos) => Rated::Priced {
                delta_nanos,
                version,
            },
            None => Rated::Left(Left::TooLarge),
        },
    }
}

/// What a call costs, corrections and all.
pub fn net_nanos(event: &UsageEvent, corrected_nanos: i64) -> i128 {
    i128::from(event.cost_nanos.unwrap_or(0)) + i128::from(corrected_nanos)
}

/// From what it costs to what it is to cost.
fn delta_nanos(event: &UsageEvent, corrected_nanos: i64, cost_nanos: u64) -> Option<i64> {
    // What the ledger couldn't hold of a call as it ends, it doesn't after.
    let cost = i64::try_from(cost_nanos).ok()?;
    i64::try_from(i128::from(cost) - net_nanos(event, corrected_nanos)).ok()
}

#[cfg(test)]
mod tests;
