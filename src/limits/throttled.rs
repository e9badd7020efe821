//! A part of a limit, for calls that are slowed down: a limit of its own, counted
//! beside the whole one.
//!
//! Always holds: it never lets more through than the whole limit does, and ever
//! something.

use super::token_bucket::{self, Fault};
use super::{AMOUNT_MAX, Algorithm, Limit};
use crate::units::Millis;

/// What the names of such limits begin with, before that of the whole one.
pub const THROTTLED: &str = "throttled:";

const WHOLE_PER_MILLE: u64 = 1_000;

impl Limit {
    /// The name of the limit that this one is a part of, or its own.
    pub fn whole_name(&self) -> &str {
        self.name.strip_prefix(THROTTLED).unwrap_or(&self.name)
    }

    /// So many thousandths of it: of a window's amount, of a bucket's pace and of what
    /// it holds.
    #[must_use]
    pub fn throttled(&self, per_mille: u64) -> Limit {
        let bucket = |every, burst| bucket_part(self.amount, every, burst, per_mille);
        let (amount, algorithm) = match &self.algorithm {
            Algorithm::TokenBucket { every, burst } => {
                let (amount, every, burst) = bucket(*every, *burst);
                (amount, Algorithm::TokenBucket { every, burst })
            }
            Algorithm::LeakyBucket { every, burst } => {
                let (amount, every, burst) = bucket(*every, *burst);
                (amount, Algorithm::LeakyBucket { every, burst })
            }
            // What a window leaves is the whole limit's to carry on.
            Algorithm::FixedWindow { period, .. } => {
                let (period, rollover) = (period.clone(), None);
                let algorithm = Algorithm::FixedWindow { period, rollover };
                (part(self.amount, per_mille), algorithm)
            }
            whole => (part(self.amount, per_mille), whole.clone()),
        };
        Limit {
            name: format!("{THROTTLED}{}", self.name).into(),
            amount,
            algorithm,
            ..self.clone()
        }
    }
}

fn part(amount: u64, per_mille: u64) -> u64 {
    let part = u128::from(amount) * u128::from(per_mille.min(WHOLE_PER_MILLE));
    let part = u64::try_from(part / u128::from(WHOLE_PER_MILLE));
    part.unwrap_or(AMOUNT_MAX).max(1)
}

/// The same time with a part of the amount, where that is a whole number; else the
/// amount over a time that is longer, as far as that can be counted exactly.
fn bucket_part(amount: u64, every: Millis, burst: u64, per_mille: u64) -> (u64, Millis, u64) {
    let (less, burst) = (part(amount, per_mille), part(burst, per_mille));
    let whole = u128::from(amount) * u128::from(per_mille);
    let is_exact = whole.is_multiple_of(u128::from(WHOLE_PER_MILLE));
    let longer = every.0.saturating_mul(WHOLE_PER_MILLE);
    let longer = Millis(longer.div_ceil(per_mille.max(1)));
    let ways = match is_exact {
        true => [(less, every), (amount, longer)],
        false => [(amount, longer), (less, every)],
    };
    let mut ways = ways.into_iter();
    let fits = |(amount, every): &(u64, Millis)| {
        let fault = token_bucket::validate(*amount, *every, burst);
        fault.is_ok()
    };
    if let Some((amount, every)) = ways.find(fits) {
        return (amount, every, burst);
    }
    match token_bucket::validate(amount, longer, burst) {
        Err(Fault::BurstTooLarge { burst_max, .. }) => (amount, longer, burst_max.max(1)),
        _ => (amount, longer, burst),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Mode, Scope, Unit};

    fn bucket(amount: u64, every: u64, burst: u64) -> Limit {
        let every = Millis(every);
        Limit {
            name: "l".into(),
            scope: Scope::TENANT,
            unit: Unit::Requests,
            amount,
            algorithm: Algorithm::TokenBucket { every, burst },
            mode: Mode::Enforce,
        }
    }

    #[test]
    fn a_part_is_as_slow_as_it_says() {
        for (whole, per_mille, part) in [
            ((60, 60_000, 60), 500, (30, 60_000, 30)),
            ((3, 60_000, 10), 500, (3, 120_000, 5)),
            ((1, 60_000, 1), 250, (1, 240_000, 1)),
            ((1_000, 1_000, 1_000), 1, (1, 1_000, 1)),
            // The whole can be counted exactly; over a time of no divisor no part can.
            (
                (86_399_999, 86_399_999, token_bucket::LEVEL_MAX),
                999,
                (86_399_999, 86_486_486, 52_126_310),
            ),
        ] {
            let (amount, every, burst) = whole;
            let found = bucket(amount, every, burst).throttled(per_mille);
            let Algorithm::TokenBucket { every, burst } = found.algorithm else {
                panic!("{found:?}")
            };
            assert!(token_bucket::validate(found.amount, every, burst).is_ok());
            assert_eq!(&*found.name, "throttled:l");
            if whole.2 < token_bucket::LEVEL_MAX {
                assert_eq!((found.amount, every.0, burst), part);
            }
            // Never faster than the part, and so never than the whole.
            let pace = u128::from(found.amount) * u128::from(whole.1) * 1_000;
            let most = u128::from(whole.0) * u128::from(every.0) * u128::from(per_mille);
            assert!(pace <= most, "{found:?}");
        }
    }
}
