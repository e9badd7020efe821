//! The window against brute force and an exact log.

use super::*;
use proptest::prelude::*;

const SUB: u64 = 10;

fn at(ms: u64) -> UnixMillis {
    UnixMillis(1_800_000_000_000 + ms)
}

/// Every charge with its time: the exact count of the last 12 sub-windows.
#[derive(Default)]
struct Log(Vec<(u64, u64)>);

impl Log {
    fn within(&self, from_exclusive: u64, to: u64) -> u64 {
        let inside = self
            .0
            .iter()
            .filter(|(ms, _)| *ms > from_exclusive && *ms <= to);
        inside.map(|(_, amount)| amount).sum()
    }
}

#[test]
fn the_oldest_sub_window_fades_out() {
    let mut window = Window::empty(SUB, at(0));
    window.take(100);
    for (ms, used) in [
        (9, 100),
        (119, 100),
        (120, 100),
        (121, 91),
        (125, 50),
        (129, 11),
        (130, 0),
    ] {
        let mut then = window;
        then.advance(at(ms));
        // Rounded up, so up to one more than the share.
        assert_eq!(then.used(at(ms)), used, "at {ms}");
    }
    assert_eq!(window.standing(150, at(0)).reset_after, Some(Millis(130)));
    assert_eq!(window.retry(100, 150, at(0)), Retry::After(Millis(125)));
    assert_eq!(window.retry(151, 150, at(0)), Retry::Never);
}

#[test]
fn settlements_go_to_the_sub_window_that_was_charged() {
    let mut window = Window::empty(SUB, at(0));
    let taken = window.take(100);
    window.advance(at(50));
    window.take(7);
    window.correct(taken, 100, 30);
    assert_eq!(window.used(at(50)), 37);
    window.correct(taken, 30, 40);
    assert_eq!(window.used(at(50)), 47);
    window.advance(at(135));
    assert_eq!(window.used(at(135)), 7);
    window.correct(taken, 40, 0);
    assert_eq!(
        window.used(at(135)),
        7,
        "a refund for what is over is dropped"
    );
    window.correct(taken, 40, 45);
    assert_eq!(window.used(at(135)), 12, "an overage is not");
}

#[test]
fn a_clock_that_steps_back_keeps_what_is_charged() {
    let mut window = Window::empty(SUB, at(1_000));
    window.take(5);
    window.advance(at(0));
    assert_eq!(window.used(at(0)), 5);
    assert_eq!(window.retry(5, 5, at(0)), Retry::After(Millis(1_130)));
    // What was given back is at rest, wherever the clock is.
    let taken = window.take(0);
    window.correct(taken, 5, 0);
    assert_eq!(window.standing(5, at(0)).reset_after, Some(Millis(0)));
}

#[test]
fn counts_stop_at_the_largest_exact_number() {
    let mut window = Window::empty(SUB, at(0));
    let taken = window.take(AMOUNT_MAX);
    window.correct(taken, 0, u64::MAX);
    window.take(u64::MAX);
    assert_eq!(window.used(at(0)), AMOUNT_MAX);
    window.advance(at(120));
    window.correct(taken, 0, u64::MAX);
    assert_eq!(window.used(at(120)), AMOUNT_MAX);
}

#[test]
fn only_possible_states_are_read_back() {
    assert!(Window::from_parts(0, 1, [0; COUNTS]).is_none());
    assert!(Window::from_parts(10, u64::MAX, [0; COUNTS]).is_none());
    assert!(Window::from_parts(10, 1, [AMOUNT_MAX + 1; COUNTS]).is_none());
    assert!(Window::from_parts(10, 1, [AMOUNT_MAX; COUNTS]).is_some());
}

proptest! {
    /// The bound that the module states, against an exact log.
    #[test]
    fn differs_from_the_exact_count_by_less_than_one_sub_window(
        calls in prop::collection::vec((0_u64..15, 0_u64..1_000), 1..80), sub in 1_u64..20,
    ) {
        let mut window = Window::empty(sub, UnixMillis(0));
        let mut log = Log::default();
        // Beyond the first window, so that no moment lies before time's start.
        let mut now = 100 * sub;
        for (step, amount) in calls {
            now += step;
            window.advance(UnixMillis(now));
            window.take(amount);
            log.0.push((now, amount));
            let used = window.used(UnixMillis(now));
            let exact = log.within(now - 12 * sub, now);
            let oldest = (now / sub - 12) * sub;
            let fell = log.0.iter().filter(|(ms, _)| (oldest..oldest + sub).contains(ms));
            let bound: u64 = fell.map(|(_, amount)| amount).sum();
            prop_assert!(used.abs_diff(exact) <= bound, "{used} {exact} {bound}");
        }
    }

    /// The time that is told is the first at which the call passes: against
    /// trying every millisecond.
    #[test]
    fn retry_is_exact(
        calls in prop::collection::vec((0_u64..40, 0_u64..200_000), 0..20),
        sub in 1_u64..40, later in 0_u64..60, limit in 1_u64..400_000, asked in 0_u64..400_000,
    ) {
        let mut now = 1_000;
        let mut window = Window::empty(sub, UnixMillis(now));
        for (step, amount) in calls {
            now += step;
            window.advance(UnixMillis(now));
            window.take(amount);
        }
        now += later;
        window.advance(UnixMillis(now));
        let first = (0..=13 * sub + 1).find(|wait| {
            let then = UnixMillis(now + wait);
            let mut window = window;
            window.advance(then);
            window.admits(asked, limit, then)
        });
        let told = window.retry(asked, limit, UnixMillis(now));
        match first {
            Some(wait) => prop_assert_eq!(told, Retry::After(Millis(wait))),
            None => prop_assert_eq!(told, Retry::Never),
        }
        let reset = window.standing(limit, UnixMillis(now)).reset_after.unwrap();
        let unused = |wait: u64| {
            let then = UnixMillis(now + wait);
            let mut window = window;
            window.advance(then);
            window.used(then) == 0
        };
        prop_assert!(unused(reset.0) && (reset.0 == 0 || !unused(reset.0 - 1)));
    }
}
