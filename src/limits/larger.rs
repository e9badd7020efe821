//! How long a call waits that asks for more than one which was refused, told
//! from the refusal alone: so that asking for a little more each time doesn't
//! get past what is remembered of refusals.

use super::counter::Rule;
use super::{Limit, Retry};
use crate::units::Millis;

impl Limit {
    /// When a call would be admitted that wants `more` than the one that this
    /// limit refused, which wanted `less` and had to wait for `wait`. By the
    /// same clock: what passed since then is still to be taken off.
    ///
    /// Never too early, and for buckets at most 1 ms late. `None` where that
    /// can't be told from the refusal: the larger call may never fit, or it is
    /// known only by the sub-windows of a sliding window.
    pub fn wait_of_larger(&self, less: u64, wait: Millis, more: u64) -> Option<Millis> {
        let beyond = more.checked_sub(less)?;
        if beyond == 0 {
            return Some(wait);
        }
        if more > self.most() {
            return None;
        }
        match Rule::of(self).ok()? {
            // There is room for neither before the window ends, and then for
            // both; but what only fits with what is carried may wait longer.
            Rule::Fixed { .. } => (more <= self.amount).then_some(wait),
            Rule::Bucket(rate) => Some(Millis(wait.0.saturating_add(rate.brings(beyond).0))),
            Rule::Window { .. } | Rule::Leases { .. } => None,
        }
    }

    /// [`Limit::wait_of_larger`], where the smaller call may not fit ever: then
    /// a larger one doesn't either.
    pub fn retry_of_larger(&self, less: u64, retry: Retry, more: u64) -> Option<Retry> {
        match retry {
            Retry::After(wait) => self.wait_of_larger(less, wait, more).map(Retry::After),
            Retry::Never => (more >= less).then_some(Retry::Never),
            Retry::WhenOneEnds => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::fixed_window::FixedWindow;
    use crate::limits::period::Period;
    use crate::limits::token_bucket::{Bucket, Rate};
    use crate::limits::{Algorithm, Mode, Scope, Unit};
    use crate::units::UnixMillis;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn limit(amount: u64, algorithm: Algorithm) -> Limit {
        Limit {
            name: "l".into(),
            scope: Scope::TENANT,
            unit: Unit::Tokens,
            amount,
            algorithm,
            mode: Mode::Enforce,
        }
    }

    fn buckets(every: u64, burst: u64) -> [Algorithm; 2] {
        let every = Millis(every);
        [
            Algorithm::TokenBucket { every, burst },
            Algorithm::LeakyBucket { every, burst },
        ]
    }

    proptest! {
        /// The algorithm itself says so: what it would have told the larger call.
        #[test]
        fn a_buckets_larger_call_waits_as_long_as_the_bucket_says(
            amount in 1_u64..2_000, every in 1_u64..5_000, burst in 1_u64..500,
            taken in 1_u64..800, age in 0_u64..300, back in 0_u64..50, later in 0_u64..400,
            less in 1_u64..500, beyond in 0_u64..500,
        ) {
            let at = |ms: u64| UnixMillis(1_800_000_000_000 + ms);
            let rate = Rate::new(amount, Millis(every), burst).expect("a sound rate");
            let mut bucket = Bucket::full(rate, at(0));
            bucket.correct(0, taken);
            bucket.advance(at(age));
            // A clock that stepped back meets a bucket that is ahead of it.
            let now = at(age.saturating_sub(back));
            let more = less + beyond;
            prop_assume!(less <= burst && !bucket.admits(less));
            let Retry::After(wait) = bucket.retry(less, now) else {
                panic!("it fits in the end");
            };
            for algorithm in buckets(every, burst) {
                let told = limit(amount, algorithm).wait_of_larger(less, wait, more);
                prop_assert_eq!(told.is_some(), more <= burst);
                let Some(told) = told else { continue };
                // As the bucket says it then, and as it says it later.
                let then = now + Millis(later);
                let mut bucket = bucket;
                bucket.advance(then);
                let exact = |bucket: &Bucket, then| match bucket.retry(more, then) {
                    Retry::After(wait) => wait.0,
                    _ => panic!("it fits in the end"),
                };
                let (exact, told) = (exact(&bucket, then), told.0.saturating_sub(later));
                prop_assert!((exact..=exact + 1).contains(&told), "{} or one more, not {}", exact, told);
            }
        }

        #[test]
        fn a_fixed_windows_larger_call_waits_for_the_same_end(
            amount in 1_u64..500, taken in 1_u64..800, every in 1_u64..100_000,
            first_hit: bool, at in 0_u64..1_000_000, later in 0_u64..100_000,
            less in 1_u64..500, beyond in 0_u64..500,
        ) {
            let period = Arc::new(match first_hit {
                true => Period::first_hit(Millis(every)),
                false => Period::aligned(Millis(every)),
            });
            let (now, more) = (UnixMillis(at), less + beyond);
            let mut window = FixedWindow::empty(&period, now);
            window.take(taken);
            prop_assume!(less <= amount && !window.admits(less, amount));
            let Retry::After(wait) = window.retry(less, amount, &period, now) else {
                panic!("it fits in the end");
            };
            let limit = limit(amount, Algorithm::FixedWindow { period: Arc::clone(&period), rollover: None });
            let told = limit.wait_of_larger(less, wait, more);
            prop_assert_eq!(told.is_some(), more <= amount);
            if let Some(told) = told {
                prop_assert_eq!(window.retry(more, amount, &period, now), Retry::After(told));
                let then = now + Millis(later % told.0.max(1));
                window.advance(&period, then);
                let left = Millis(told.0 - then.since(now).0);
                prop_assert_eq!(window.retry(more, amount, &period, then), Retry::After(left));
                window.advance(&period, now + told);
                prop_assert!(window.admits(more, amount));
            }
        }
    }

    #[test]
    fn what_a_refusal_does_not_tell_is_not_told() {
        let wait = Millis(700);
        let every = Millis(60_000);
        let sliding = limit(10, Algorithm::SlidingWindow { every });
        assert_eq!(sliding.wait_of_larger(3, wait, 3), Some(wait));
        assert_eq!(sliding.wait_of_larger(3, wait, 4), None);
        for bucket in buckets(60_000, 10) {
            let bucket = limit(600, bucket);
            // 10 a second.
            assert_eq!(bucket.wait_of_larger(3, wait, 4), Some(Millis(800)));
            assert_eq!(bucket.wait_of_larger(3, wait, 10), Some(Millis(1_400)));
            assert_eq!(bucket.wait_of_larger(3, wait, 2), None, "a smaller one");
            assert_eq!(bucket.wait_of_larger(3, wait, 11), None, "it never fits");
            assert_eq!(bucket.retry_of_larger(3, Retry::WhenOneEnds, 4), None);
            let never = bucket.retry_of_larger(11, Retry::Never, 12);
            assert_eq!(never, Some(Retry::Never));
            assert_eq!(bucket.retry_of_larger(11, Retry::Never, 10), None);
        }
    }
}
