//! Limits and what they charge: pure meaning, no storage and no clock.
//!
//! A [`Limit`] is a rule of a plan. For one call it becomes a [`Charge`] on one
//! counter; all charges of a call form a [`Reservation`], which a counter store
//! takes whole or not at all and answers with a [`Decision`]. When the call
//! ends, a settlement corrects each charge to what was really used.
//!
//! Always holds: a refused reservation changes nothing; a hold ends once.
//! Left to others: where counters live (`counters`), which limits apply to a
//! call (`policy`), what a call uses (`protocol`, `tokens`).
//!
//! Each algorithm has a module of its own; a new one adds a module, a variant
//! of [`Algorithm`], and its twin in the Redis scripts.

pub mod concurrency;
pub mod counter;
pub mod reservation;
pub mod sliding_window;
pub mod token_bucket;

pub use reservation::{
    Actual, Charge, Decision, HoldId, Refusal, Reservation, Retry, Settled, Standing,
};

use crate::units::Millis;
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
    /// Input and output tokens together.
    Tokens,
    /// Calls in flight.
    Concurrency,
}

impl Unit {
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
            Unit::Concurrency => "concurrency",
        }
    }
}

/// Whose calls share one counter of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Tenant,
    /// A user of a tenant; a key that names no user counts as a user of its own.
    User,
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Tenant => "tenant",
            Scope::User => "user",
        }
    }
}

/// How a limit counts. Parameters are validated by configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// At most `amount` in any span of `every`, by weighted sub-windows.
    SlidingWindow { every: Millis },
    /// Refills at `amount` per `every`, holds at most `burst`.
    TokenBucket { every: Millis, burst: u64 },
    /// At most `amount` calls in flight.
    Concurrency,
}

impl Algorithm {
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::SlidingWindow { .. } => "sliding_window",
            Algorithm::TokenBucket { .. } => "token_bucket",
            Algorithm::Concurrency => "concurrency",
        }
    }
}

/// One limit of a plan, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Unique in its plan; part of the counter's name, shown in refusals.
    pub name: Arc<str>,
    pub scope: Scope,
    pub unit: Unit,
    /// More than 0, at most [`AMOUNT_MAX`].
    pub amount: u64,
    pub algorithm: Algorithm,
}
