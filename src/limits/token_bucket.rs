//! Token bucket: refills at `amount` per `every`, holds at most `burst`.
//!
//! Whole numbers only. With `g = gcd(amount, every_ms)` the level is counted
//! in units of `1 / (every_ms / g)` token: one token is `scale = every_ms / g`
//! units and each millisecond brings `per_ms = amount / g` units. So nothing is
//! ever rounded but what is shown.
//!
//! Always holds: the level is at most the capacity and never below
//! `-LEVEL_MAX`; a level below zero is a debt that later calls pay; time never
//! runs backwards. The twin of this module is `counters/redis/counters.lua`.

use super::{Retry, Standing};
use crate::units::{Millis, UnixMillis};

/// The largest capacity and the largest debt, in units. The way from the
/// deepest debt to the fullest bucket then stays below 2^53, where the doubles
/// of the Redis scripts are exact.
pub const LEVEL_MAX: u64 = (1 << 52) - 1;

/// Why a bucket can't be counted exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("must have amount, every and burst of at least 1")]
    Zero,
    #[error("must refill less than 2^53 tokens per every (got {0})")]
    AmountTooLarge(u64),
    #[error(
        "can't be counted exactly: with this amount and every, burst must be at most {burst_max} \
         (got {burst}); a rounder amount or every allows more"
    )]
    BurstTooLarge { burst: u64, burst_max: u64 },
}

/// Tells whether a bucket of these parameters is exact in every engine.
pub fn validate(amount: u64, every: Millis, burst: u64) -> Result<(), Fault> {
    Rate::new(amount, every, burst).map(|_| ())
}

/// A bucket's parameters, in units (see the module).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    per_ms: u64,
    scale: u64,
    capacity: u64,
}

impl Rate {
    pub fn new(amount: u64, every: Millis, burst: u64) -> Result<Self, Fault> {
        if amount == 0 || every.0 == 0 || burst == 0 {
            return Err(Fault::Zero);
        }
        if amount > super::AMOUNT_MAX {
            return Err(Fault::AmountTooLarge(amount));
        }
        let divisor = gcd(amount, every.0);
        let scale = every.0 / divisor;
        let burst_max = LEVEL_MAX / scale;
        if burst > burst_max {
            return Err(Fault::BurstTooLarge { burst, burst_max });
        }
        Ok(Self {
            per_ms: amount / divisor,
            scale,
            capacity: burst * scale,
        })
    }

    /// Reads back what [`Rate::parts`] gave; `None` where no rate has these.
    pub fn from_parts(per_ms: u64, scale: u64, capacity: u64) -> Option<Self> {
        let sound = (1..=super::AMOUNT_MAX).contains(&per_ms)
            && (1..=LEVEL_MAX).contains(&scale)
            && (1..=LEVEL_MAX).contains(&capacity)
            && capacity.is_multiple_of(scale);
        sound.then_some(Self {
            per_ms,
            scale,
            capacity,
        })
    }

    /// Units per millisecond, units per token, units in all.
    pub fn parts(self) -> (u64, u64, u64) {
        (self.per_ms, self.scale, self.capacity)
    }

    /// Tokens that a full bucket holds.
    pub fn burst(self) -> u64 {
        self.capacity / self.scale
    }

    /// How long it takes to bring so many tokens, rounded up.
    pub fn brings(self, tokens: u64) -> Millis {
        let refill = div_ceil(self.units(tokens), i128::from(self.per_ms));
        Millis(to_u64(refill))
    }

    fn units(self, tokens: u64) -> i128 {
        i128::from(tokens) * i128::from(self.scale)
    }

    fn capacity_units(self) -> i128 {
        i128::from(self.capacity)
    }
}

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    rate: Rate,
    level: i64,
    last: UnixMillis,
}

impl Bucket {
    /// A bucket at rest.
    pub fn full(rate: Rate, now: UnixMillis) -> Self {
        let mut bucket = Self {
            rate,
            level: 0,
            last: now,
        };
        bucket.set_level(rate.capacity_units());
        bucket
    }

    /// Reads back a stored state; `None` where no bucket can be in it.
    pub fn from_parts(rate: Rate, level: i64, last: UnixMillis) -> Option<Self> {
        let floor = -i128::from(LEVEL_MAX);
        let sound = (floor..=rate.capacity_units()).contains(&i128::from(level));
        sound.then_some(Self { rate, level, last })
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Brings the refill up to `now`; a clock that stepped back brings nothing.
    pub fn advance(&mut self, now: UnixMillis) {
        let elapsed = now.since(self.last).0;
        let brought = i128::from(elapsed) * i128::from(self.rate.per_ms);
        self.set_level(i128::from(self.level) + brought);
        self.last = self.last.max(now);
    }

    /// Goes on under the parameters of a changed limit. Whole tokens and debts
    /// carry over; less than one token may be lost.
    pub fn adopt(&mut self, rate: Rate) {
        let level = i128::from(self.level);
        let from = i128::from(self.rate.scale);
        let to = i128::from(rate.scale);
        let level = if from == to {
            level
        } else {
            let debt_max = i128::from(LEVEL_MAX) / to;
            let tokens = level.div_euclid(from);
            tokens.clamp(-debt_max, i128::from(rate.burst())) * to
        };
        self.rate = rate;
        self.set_level(level);
    }

    /// Whether a call of this size passes now. Advance first.
    pub fn admits(&self, amount: u64) -> bool {
        i128::from(self.level) >= self.rate.units(amount)
    }

    /// Takes what [`Bucket::admits`] allowed.
    pub fn take(&mut self, amount: u64) {
        self.set_level(i128::from(self.level) - self.rate.units(amount));
    }

    /// Replaces what was held by what was used: gives back up to the capacity,
    /// or takes more, even below zero. Advance first.
    pub fn correct(&mut self, held: u64, actual: u64) {
        let back = self.rate.units(held) - self.rate.units(actual);
        self.set_level(i128::from(self.level) + back);
    }

    /// When this call would be admitted if nothing else came.
    pub fn retry(&self, amount: u64, now: UnixMillis) -> Retry {
        if amount > self.rate.burst() {
            return Retry::Never;
        }
        Retry::After(self.reaches(self.rate.units(amount), now))
    }

    pub fn standing(&self, now: UnixMillis) -> Standing {
        let scale = i128::from(self.rate.scale);
        let capacity = self.rate.capacity_units();
        let level = i128::from(self.level);
        Standing {
            used: to_u64(div_ceil(capacity - level, scale)),
            exceeded: level < 0,
            remaining: to_u64(level.max(0) / scale),
            carried: 0,
            reset_after: Some(self.reaches(capacity, now)),
        }
    }

    pub fn at_rest(&self) -> bool {
        i128::from(self.level) == self.rate.capacity_units()
    }

    /// How long until the level is `units`, counted from `now`; `last` may lie
    /// ahead of a clock that stepped back.
    fn reaches(&self, units: i128, now: UnixMillis) -> Millis {
        let missing = (units - i128::from(self.level)).max(0);
        if missing == 0 {
            return Millis(0);
        }
        let refill = to_u64(div_ceil(missing, i128::from(self.rate.per_ms)));
        Millis(refill.saturating_add(self.last.since(now).0))
    }

    fn set_level(&mut self, level: i128) {
        let level = level.clamp(-i128::from(LEVEL_MAX), self.rate.capacity_units());
        // The clamp leaves nothing outside i64.
        self.level = i64::try_from(level).unwrap_or(0);
    }
}

/// Rounded up; `over` is more than 0.
fn div_ceil(value: i128, over: i128) -> i128 {
    -((-value).div_euclid(over))
}

fn to_u64(value: i128) -> u64 {
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
