//! One sidecar's share of a limit, for when the counters that all sidecars have
//! in common can't be reached.
//!
//! Always holds: the shares of `n` sidecars together never admit more than the
//! whole limit does. So a share is rounded down, and may be nothing.

use super::token_bucket::{self, Rate};
use super::{Algorithm, Limit, Mode};
use crate::units::Millis;
use std::sync::Arc;

/// What becomes of calls while their counters can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCounterFailure {
    /// They are refused.
    Deny,
    /// They pass, and are counted for later.
    Allow,
    /// They pass as far as this sidecar's share of each limit goes.
    #[default]
    Share,
}

impl Limit {
    /// The limit that one of `sidecars` may give out by itself; `None` where its
    /// share is less than one. With one sidecar it is the whole limit.
    pub fn share(&self, sidecars: u64) -> Option<Limit> {
        let part = |amount: u64| amount.checked_div(sidecars).filter(|part| *part > 0);
        let (amount, algorithm) = match &self.algorithm {
            Algorithm::TokenBucket { every, burst } => {
                let (amount, every, burst) = bucket_share(self.amount, *every, *burst, sidecars)?;
                (amount, Algorithm::TokenBucket { every, burst })
            }
            Algorithm::LeakyBucket { every, burst } => {
                let (amount, every, burst) = bucket_share(self.amount, *every, *burst, sidecars)?;
                (amount, Algorithm::LeakyBucket { every, burst })
            }
            // What is carried is known to the store alone.
            Algorithm::FixedWindow { period, .. } => {
                let period = Arc::clone(period);
                let rollover = None;
                (
                    part(self.amount)?,
                    Algorithm::FixedWindow { period, rollover },
                )
            }
            whole => (part(self.amount)?, whole.clone()),
        };
        Some(Limit {
            amount,
            algorithm,
            ..self.clone()
        })
    }

    /// The same limit, counted only: it refuses nothing.
    #[must_use]
    pub fn shadowed(&self) -> Limit {
        Limit {
            mode: Mode::Shadow,
            ..self.clone()
        }
    }
}

/// The same rate over a time that is longer, where that can be counted exactly;
/// else a lower rate.
fn bucket_share(
    amount: u64,
    every: Millis,
    burst: u64,
    sidecars: u64,
) -> Option<(u64, Millis, u64)> {
    let burst = burst.checked_div(sidecars).filter(|part| *part > 0)?;
    let longer = Millis(every.0.saturating_mul(sidecars));
    if Rate::new(amount, longer, burst).is_ok() {
        return Some((amount, longer, burst));
    }
    let amount = amount.checked_div(sidecars).filter(|part| *part > 0)?;
    token_bucket::validate(amount, every, burst).ok()?;
    Some((amount, every, burst))
}

/// One sidecar's part of what was used by all, rounded up: together they never
/// take it for less.
pub fn used_share(used: u64, sidecars: u64) -> u64 {
    used.div_ceil(sidecars.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Scope, Unit};

    fn limit(amount: u64, algorithm: Algorithm) -> Limit {
        Limit {
            name: "l".into(),
            scope: Scope::TENANT,
            unit: Unit::Requests,
            amount,
            algorithm,
            mode: Mode::Enforce,
        }
    }

    #[test]
    fn shares_together_are_never_more_than_the_whole() {
        for amount in [1, 2, 3, 7, 100, 1_001] {
            for sidecars in 1..9 {
                let window = limit(
                    amount,
                    Algorithm::SlidingWindow {
                        every: Millis(60_000),
                    },
                );
                let share = window.share(sidecars).map_or(0, |share| share.amount);
                assert!(share * sidecars <= amount && (share + 1) * sidecars > amount);
                let (every, burst) = (Millis(60_000), amount);
                let bucket = limit(amount, Algorithm::TokenBucket { every, burst });
                match bucket
                    .share(sidecars)
                    .map(|share| (share.amount, share.algorithm))
                {
                    None => assert!(amount < sidecars),
                    Some((
                        rate,
                        Algorithm::TokenBucket {
                            every: longer,
                            burst,
                        },
                    )) => {
                        assert!(burst * sidecars <= amount);
                        // rate / longer * sidecars <= amount / every
                        assert!(rate * sidecars * every.0 <= amount * longer.0);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn alone_it_is_the_whole_limit() {
        let slots = limit(3, Algorithm::Concurrency);
        assert_eq!(slots.share(1), Some(slots.clone()));
        assert_eq!(slots.share(4), None);
        assert_eq!(slots.share(0), None);
    }

    #[test]
    fn what_was_used_is_taken_for_no_less() {
        for (used, sidecars, share) in [(0, 3, 0), (1, 3, 1), (7, 3, 3), (9, 3, 3), (5, 0, 5)] {
            assert_eq!(used_share(used, sidecars), share);
        }
    }
}
