//! Limits and what they charge: pure meaning, no storage and no clock.
//!
//! A [`Limit`] is a rule of a plan. For one call it becomes a [`Charge`] on one
//! counter; all charges of a call form a [`Reservation`], which a counter store
//! takes whole or not at all and answers with a [`Decision`]. When the call
//! ends, a settlement corrects each charge to what was really used.
//!
//! What has no end that anyone tells of is charged for good, by a [`Toll`].
//!
//! Always holds: a refused reservation charges nothing; a hold ends once.
//! Left to others: where counters live (`counters`), which limits apply to a
//! call (`policy`), what a call uses (`protocol`, `tokens`).
//!
//! Each algorithm has a module of its own; a new one adds a module, a variant
//! of [`Algorithm`], and its twin in the Redis scripts.

mod asked;
pub mod concurrency;
pub mod counter;
pub mod fixed_window;
mod larger;
pub mod period;
pub mod reservation;
pub mod rollover;
pub mod scope;
pub mod share;
pub mod sliding_window;
pub mod throttled;
pub mod token_bucket;
pub mod toll;

pub use asked::{Asked, decision};
pub use reservation::{
    Actual, Charge, Decision, HoldId, Refusal, Reservation, Retry, SHARED_SLOT, Settled, Standing,
};

pub use rollover::Rollover;
pub use scope::{Dimension, Scope};
pub use toll::{Fate, Paid, Told, Toll};

use crate::units::Millis;
use period::Period;
use std::sync::Arc;

/// The largest amount that a counter may hold: the scripts of the Redis engine
/// count in doubles, which are exact up to here. Configuration refuses more.
pub const AMOUNT_MAX: u64 = (1 << 53) - 1;

/// The most charges that one call may take (a bound on script time).
pub const CHARGES_MAX: usize = 32;

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    Requests,
    InputTokens,
    OutputTokens,
    /// Input and output tokens together.
    Tokens,
    /// Nano-dollars.
    Cost,
    /// Calls in flight.
    Concurrency,
}

impl Unit {
    pub const ALL: [Unit; 6] = [
        Unit::Requests,
        Unit::InputTokens,
        Unit::OutputTokens,
        Unit::Tokens,
        Unit::Cost,
        Unit::Concurrency,
    ];

    /// Whether what a call produces counts in it: so it may come to more than is held.
    pub fn is_of_output(self) -> bool {
        matches!(self, Unit::OutputTokens | Unit::Tokens | Unit::Cost)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::InputTokens => "input_tokens",
            Unit::OutputTokens => "output_tokens",
            Unit::Tokens => "tokens",
            Unit::Cost => "cost",
            Unit::Concurrency => "concurrency",
        }
    }
}

/// How a limit counts. Parameters are validated by configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Algorithm {
    /// At most `amount` in each window of the period, and what is carried into it
    /// of what the one before had left.
    FixedWindow {
        period: Arc<Period>,
        /// Never with windows from their first hit.
        rollover: Option<Rollover>,
    },
    /// At most `amount` in any span of 11/12 of `every`, and about that in one
    /// of `every`, by weighted sub-windows.
    SlidingWindow { every: Millis },
    /// Refills at `amount` per `every`, holds at most `burst`.
    TokenBucket { every: Millis, burst: u64 },
    /// Spaces calls evenly at `amount` per `every`, letting at most `burst` come
    /// at once: GCRA. That is a token bucket told from the other side (what a
    /// bucket holds is what the queue has room for), so both are counted alike.
    LeakyBucket { every: Millis, burst: u64 },
    /// At most `amount` calls in flight.
    Concurrency,
}

impl Algorithm {
    pub fn as_str(&self) -> &'static str {
        match self {
            Algorithm::FixedWindow { .. } => "fixed_window",
            Algorithm::SlidingWindow { .. } => "sliding_window",
            Algorithm::TokenBucket { .. } => "token_bucket",
            Algorithm::LeakyBucket { .. } => "leaky_bucket",
            Algorithm::Concurrency => "concurrency",
        }
    }
}

/// One limit of a plan, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Unique in its plan; part of the counter's name, shown in refusals.
    pub name: Arc<str>,
    pub scope: Scope,
    pub unit: Unit,
    /// More than 0, at most [`AMOUNT_MAX`].
    pub amount: u64,
    pub algorithm: Algorithm,
    pub mode: Mode,
}

/// What a limit does to a call that it doesn't admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Enforce,
    /// The call is charged, past the limit too, and what would have refused it
    /// is told.
    Shadow,
}

impl Limit {
    /// How long its amount is for, where that is always the same.
    pub fn window(&self) -> Option<Millis> {
        match &self.algorithm {
            Algorithm::FixedWindow { period, .. } => period.length(),
            Algorithm::SlidingWindow { every }
            | Algorithm::TokenBucket { every, .. }
            | Algorithm::LeakyBucket { every, .. } => Some(*every),
            Algorithm::Concurrency => None,
        }
    }

    /// The most that one call can ever be given.
    pub fn most(&self) -> u64 {
        match self.algorithm {
            Algorithm::TokenBucket { burst, .. } | Algorithm::LeakyBucket { burst, .. } => burst,
            Algorithm::FixedWindow { rollover, .. } => {
                let carried = rollover.map_or(0, |rollover| rollover.most);
                self.amount.saturating_add(carried).min(AMOUNT_MAX)
            }
            Algorithm::SlidingWindow { .. } | Algorithm::Concurrency => self.amount,
        }
    }
}
