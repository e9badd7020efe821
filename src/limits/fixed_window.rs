//! Fixed window: at most `amount` in each window of a [`Period`].
//!
//! The state is the count, the end of the window that it belongs to, which is
//! also the window's name (a refund goes only to the window that it was taken
//! from), and the kind of its period.
//!
//! Always holds: the count is at most [`AMOUNT_MAX`]; a window that was opened
//! lasts until its end though the clock steps back, unless its end then lies
//! beyond the window after the one that now is. The twin of this module is
//! `counters/redis/fixed.lua`.

use super::period::{Ends, Period};
use super::{AMOUNT_MAX, Retry, Standing};
use crate::units::{Millis, UnixMillis};

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedWindow {
    end: UnixMillis,
    count: u64,
    kind: u64,
}

impl FixedWindow {
    /// A window at rest, opened now.
    pub fn empty(period: &Period, now: UnixMillis) -> Self {
        Self {
            end: period.end(now),
            count: 0,
            kind: period.kind(),
        }
    }

    /// Reads back a stored state; `None` where no window can be in it.
    pub fn from_parts(end: u64, count: u64, kind: u64) -> Option<Self> {
        let sound = [end, count, kind].iter().all(|part| *part <= AMOUNT_MAX);
        sound.then_some(Self {
            end: UnixMillis(end),
            count,
            kind,
        })
    }

    /// Opens the next window where this one is over. Goes on under a changed
    /// limit's period, keeping the count.
    pub fn advance(&mut self, period: &Period, now: UnixMillis) {
        if self.gives_way(period, now) {
            *self = Self::empty(period, now);
        } else if self.kind != period.kind() || self.is_too_far(period, now) {
            self.end = period.end(now);
            self.kind = period.kind();
        }
    }

    /// A clock that was far ahead opened it.
    fn is_too_far(&self, period: &Period, now: UnixMillis) -> bool {
        // Most need no look at the calendar.
        if self.end.since(now) <= period.shortest() {
            return false;
        }
        let Ends(_, last) = period.ends(now);
        self.end > last
    }

    /// Whether a call of this size passes now. Advance first.
    pub fn admits(&self, amount: u64, limit: u64) -> bool {
        self.count.saturating_add(amount) <= limit
    }

    /// Takes what [`FixedWindow::admits`] allowed; gives the end of the window
    /// that was charged.
    pub fn take(&mut self, amount: u64) -> UnixMillis {
        self.count = self.count.saturating_add(amount).min(AMOUNT_MAX);
        self.end
    }

    /// Replaces what was held by what was used: less is given back to the
    /// window that was charged, if it is this one; more is charged to this one,
    /// which must not be over.
    pub fn correct(&mut self, charged: UnixMillis, held: u64, used: u64) {
        if used > held {
            self.take(used - held);
        } else if charged == self.end {
            self.count = self.count.saturating_sub(held - used);
        }
    }

    /// When this call would be admitted if nothing else came.
    pub fn retry(&self, amount: u64, limit: u64, now: UnixMillis) -> Retry {
        if amount > limit {
            Retry::Never
        } else if self.admits(amount, limit) {
            Retry::After(Millis(0))
        } else {
            Retry::After(self.end.since(now))
        }
    }

    pub fn standing(&self, limit: u64, now: UnixMillis) -> Standing {
        let reset_after = if self.at_rest() {
            Millis(0)
        } else {
            self.end.since(now)
        };
        Standing {
            used: self.count,
            exceeded: self.count > limit,
            remaining: limit.saturating_sub(self.count),
            reset_after: Some(reset_after),
        }
    }

    pub fn at_rest(&self) -> bool {
        self.count == 0
    }

    /// Whether what is charged now opens another: this one is over, or begins
    /// with a first hit and has none, as what was taken was given back. So it
    /// makes no difference whether a store forgets windows at rest.
    pub fn gives_way(&self, period: &Period, now: UnixMillis) -> bool {
        self.is_over(now) || self.at_rest() && period.from_first_hit().is_some()
    }

    /// Whether it is over, and so at rest from now on.
    pub fn is_over(&self, now: UnixMillis) -> bool {
        now >= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn hourly() -> Period {
        Period::aligned(Millis(HOUR_MS))
    }

    #[test]
    fn it_admits_its_amount_until_its_end_and_anew_from_there() {
        let mut window = FixedWindow::empty(&hourly(), UnixMillis(5));
        assert!(window.admits(10, 10));
        assert_eq!(window.take(10), UnixMillis(HOUR_MS));
        let late = UnixMillis(HOUR_MS - 1);
        window.advance(&hourly(), late);
        assert!(!window.admits(1, 10));
        assert_eq!(window.retry(1, 10, late), Retry::After(Millis(1)));
        assert_eq!(window.retry(11, 10, late), Retry::Never);
        window.advance(&hourly(), UnixMillis(HOUR_MS));
        assert!(window.admits(10, 10));
        assert_eq!(window.take(1), UnixMillis(2 * HOUR_MS));
    }

    #[test]
    fn a_refund_goes_only_to_the_window_it_was_taken_from() {
        let mut window = FixedWindow::empty(&hourly(), UnixMillis(5));
        let charged = window.take(10);
        window.correct(charged, 10, 4);
        assert_eq!(window.standing(10, UnixMillis(5)).used, 4);
        let next = UnixMillis(HOUR_MS);
        window.advance(&hourly(), next);
        window.take(3);
        window.correct(charged, 10, 0);
        assert_eq!(window.standing(10, next).used, 3);
        window.correct(charged, 10, 12);
        assert_eq!(
            window.standing(4, next),
            Standing {
                used: 5,
                exceeded: true,
                remaining: 0,
                reset_after: Some(Millis(HOUR_MS)),
            },
            "more than was held is charged, past the limit too"
        );
    }

    #[test]
    fn from_the_first_hit_it_lasts_its_whole_length() {
        let minute = Period::first_hit(Millis(60_000));
        let mut window = FixedWindow::empty(&minute, UnixMillis(7));
        let charged = window.take(1);
        assert_eq!(charged, UnixMillis(60_007));
        window.advance(&minute, UnixMillis(60_006));
        assert_eq!(window.standing(9, UnixMillis(60_006)).used, 1);
        window.advance(&minute, UnixMillis(60_007));
        assert!(window.at_rest());
        assert_eq!(window.take(1), UnixMillis(120_007));
    }

    #[test]
    fn from_the_first_hit_one_that_was_given_back_has_not_begun() {
        let minute = Period::first_hit(Millis(60_000));
        let mut window = FixedWindow::empty(&minute, UnixMillis(7));
        let charged = window.take(1);
        window.correct(charged, 1, 0);
        window.advance(&minute, UnixMillis(100));
        assert_eq!(window.take(1), UnixMillis(60_100));
    }

    #[test]
    fn a_changed_period_keeps_the_count() {
        let mut window = FixedWindow::empty(&hourly(), UnixMillis(5));
        window.take(3);
        for (period, end) in [
            (Period::aligned(Millis(24 * HOUR_MS)), 24 * HOUR_MS),
            (Period::first_hit(Millis(1_000)), 1_006),
            (Period::first_hit(Millis(9_000)), 9_006),
        ] {
            window.advance(&period, UnixMillis(6));
            assert_eq!((window.end, window.count), (UnixMillis(end), 3));
        }
    }

    #[test]
    fn a_clock_that_steps_back_opens_no_second_window() {
        let mut window = FixedWindow::empty(&hourly(), UnixMillis(HOUR_MS + 5));
        window.take(3);
        for back in [HOUR_MS - 1, 5] {
            window.advance(&hourly(), UnixMillis(back));
            assert_eq!((window.end, window.count), (UnixMillis(2 * HOUR_MS), 3));
        }
        // From far ahead, it doesn't stay for as long as that.
        let mut window = FixedWindow::empty(&hourly(), UnixMillis(99 * HOUR_MS));
        window.take(3);
        window.advance(&hourly(), UnixMillis(5));
        assert_eq!((window.end, window.count), (UnixMillis(HOUR_MS), 3));
    }
}
