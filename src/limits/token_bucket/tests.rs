//! The bucket against exact arithmetic.

use super::*;
use proptest::prelude::*;

fn at(ms: u64) -> UnixMillis {
    UnixMillis(1_800_000_000_000 + ms)
}

fn rate(amount: u64, every: u64, burst: u64) -> Rate {
    Rate::new(amount, Millis(every), burst).expect("a sound rate")
}

#[test]
fn only_exact_buckets_are_accepted() {
    assert_eq!(validate(200_000, Millis(60_000), 50_000), Ok(()));
    assert_eq!(validate(1, Millis(1), LEVEL_MAX), Ok(()));
    let burst = LEVEL_MAX + 1;
    let burst_max = LEVEL_MAX;
    assert_eq!(
        validate(1, Millis(1), burst),
        Err(Fault::BurstTooLarge { burst, burst_max })
    );
    for (amount, every, burst) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
        assert_eq!(validate(amount, Millis(every), burst), Err(Fault::Zero));
    }
    assert!(validate(1 << 53, Millis(1), 1).is_err());
    let odd = validate(200_003, Millis(399 * 86_400_000), 9_000_000).map_err(|f| f.to_string());
    let text = odd.expect_err("not exact");
    assert!(text.contains("burst must be at most 130639"), "{text}");
}

#[test]
fn a_thirtieth_of_a_second_is_not_rounded() {
    // 30 a second: three tokens in 100 ms, one in 33.3 ms.
    let mut bucket = Bucket::full(rate(30, 1_000, 30), at(0));
    bucket.take(30);
    assert_eq!(bucket.retry(1, at(0)), Retry::After(Millis(34)));
    assert_eq!(bucket.retry(3, at(0)), Retry::After(Millis(100)));
    bucket.advance(at(33));
    assert!(!bucket.admits(1));
    bucket.advance(at(34));
    assert!(bucket.admits(1));
    bucket.advance(at(100));
    assert!(bucket.admits(3) && !bucket.admits(4));
    assert_eq!(bucket.retry(31, at(100)), Retry::Never);
}

#[test]
fn a_debt_is_paid_before_anything_passes() {
    let mut bucket = Bucket::full(rate(10, 1_000, 10), at(0));
    bucket.take(10);
    bucket.correct(10, 35);
    let standing = bucket.standing(at(0));
    assert_eq!(
        (
            standing.used,
            standing.remaining,
            standing.reset_after.unwrap().0
        ),
        (35, 0, 3_500)
    );
    assert_eq!(bucket.retry(0, at(0)), Retry::After(Millis(2_500)));
    assert_eq!(bucket.retry(1, at(0)), Retry::After(Millis(2_600)));
    bucket.correct(35, 0);
    assert_eq!(
        bucket.standing(at(0)).remaining,
        10,
        "never more than the burst"
    );
    assert!(bucket.at_rest());
}

#[test]
fn a_clock_that_steps_back_brings_nothing_and_takes_nothing() {
    let mut bucket = Bucket::full(rate(10, 1_000, 10), at(5_000));
    bucket.take(10);
    bucket.advance(at(0));
    assert!(!bucket.admits(1));
    assert_eq!(bucket.retry(1, at(0)), Retry::After(Millis(5_100)));
    bucket.advance(at(5_100));
    assert!(bucket.admits(1));
}

proptest! {
    /// The time that is told is the first at which the call passes.
    #[test]
    fn retry_is_exact(
        amount in 1_u64..500, every in 1_u64..5_000, burst in 1_u64..500,
        taken in 0_u64..800, asked in 0_u64..500, later in 0_u64..300,
    ) {
        let mut bucket = Bucket::full(rate(amount, every, burst), at(0));
        bucket.correct(0, taken);
        bucket.advance(at(later));
        let now = at(later);
        let admits_at = |ms: u64| {
            let mut then = bucket;
            then.advance(now + Millis(ms));
            then.admits(asked)
        };
        match bucket.retry(asked, now) {
            Retry::After(Millis(0)) => prop_assert!(admits_at(0)),
            Retry::After(Millis(wait)) => prop_assert!(admits_at(wait) && !admits_at(wait - 1)),
            Retry::Never => prop_assert!(asked > burst && !admits_at(u64::from(u32::MAX))),
            Retry::WhenOneEnds => prop_assert!(false),
        }
        let reset = bucket.standing(now).reset_after.unwrap();
        let mut then = bucket;
        then.advance(now + reset);
        prop_assert!(then.at_rest());
    }

    /// Looking often or seldom makes no difference: nothing is rounded.
    #[test]
    fn refill_does_not_depend_on_when_it_is_looked_at(
        amount in 1_u64..500, every in 1_u64..5_000, steps in prop::collection::vec(0_u64..50, 1..20),
    ) {
        let mut often = Bucket::full(rate(amount, every, 1_000), at(0));
        often.take(1_000);
        let mut once = often;
        let mut now = 0;
        for step in steps {
            now += step;
            often.advance(at(now));
        }
        once.advance(at(now));
        prop_assert_eq!(often, once);
    }
}
