//! When what didn't arrive is tried again, and when nobody tries any more.

use crate::units::{Millis, UnixMillis};

/// After this long an alert is of no more use.
pub const GIVE_UP_AFTER: Millis = Millis::from_mins(24 * 60);

/// After the first try.
const FIRST: Millis = Millis::from_secs(5);

/// The longest between two tries: a receiver that is back hears within it.
const LONGEST: Millis = Millis::from_mins(30);

/// The next try after so many, at least one, of an alert of `made_at`; `None`: no
/// more. Each is twice as long after the one before it, a quarter more or less by
/// `random`, so that many alerts don't come at once.
pub fn next_try(
    tries: u64,
    made_at: UnixMillis,
    now: UnixMillis,
    random: u64,
) -> Option<UnixMillis> {
    let doubled = u32::try_from(tries.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(32);
    let wait = FIRST.0.saturating_mul(1 << doubled).min(LONGEST.0);
    let next = now + Millis(wait - wait / 4 + random % (wait / 2 + 1));
    (next.since(made_at) < GIVE_UP_AFTER).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_ever_further_apart_for_a_day() {
        for (tries, least, most) in [
            (1, 3_750, 6_250),
            (2, 7_500, 12_500),
            (5, 60_000, 100_000),
            (10, 1_350_000, 2_250_000),
            (u64::MAX, 1_350_000, 2_250_000),
        ] {
            let now = UnixMillis(1_000_000);
            for random in [0, 7, 999_999_937, u64::MAX] {
                let next = next_try(tries, now, now, random).unwrap();
                let wait = next.since(now).0;
                assert!((least..=most).contains(&wait), "{tries}: {wait}");
            }
        }
        let (mut now, mut tries) = (UnixMillis(0), 1);
        while let Some(next) = next_try(tries, UnixMillis(0), now, tries) {
            (now, tries) = (next, tries + 1);
        }
        assert!((40..90).contains(&tries), "{tries} in a day");
        assert!(now.0 > GIVE_UP_AFTER.0 - 2 * LONGEST.0 && now.0 < GIVE_UP_AFTER.0);
    }
}
