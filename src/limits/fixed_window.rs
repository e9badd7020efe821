//! Fixed window: at most `amount` in each window of a [`Period`].
//!
//! The state is the count, the end of the window that it belongs to, which is
//! also the window's name (a refund goes only to the window that it was taken
//! from), and the kind of its period. Where what is left is carried into the next
//! window (see `rollover`), it also is what was carried into this one, and the
//! window's number: so that what lies between two windows is known at once, however
//! long that was. A store keeps it for as long as something may be carried out of it;
//! a counter that has never been charged is carried nothing.
//!
//! Always holds: the count is at most [`AMOUNT_MAX`]; a window that was opened
//! lasts until its end though the clock steps back, unless its end then lies
//! beyond the window after the one that now is. The twin of this module is
//! `counters/redis/fixed.lua`.

use super::period::{Ends, Period};
use super::rollover::{KEPT, Rollover};
use super::{AMOUNT_MAX, Retry, Standing};
use crate::units::{Millis, UnixMillis};
use std::num::NonZeroU64;
use std::sync::Arc;

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedWindow {
    end: UnixMillis,
    count: u64,
    kind: u64,
    /// `None`: its limit carries nothing.
    carry: Option<Carry>,
}

/// What a window was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Carry {
    carried: u64,
    /// The window's, as [`Period::number`] counts.
    number: NonZeroU64,
}

/// How windows follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns<'p> {
    pub period: &'p Arc<Period>,
    pub rollover: Option<Rollover>,
}

/// Nothing is carried.
impl<'p> From<&'p Arc<Period>> for Turns<'p> {
    fn from(period: &'p Arc<Period>) -> Self {
        let rollover = None;
        Self { period, rollover }
    }
}

impl Carry {
    /// Of the window that holds this moment, which was carried nothing.
    fn none(period: &Period, at: UnixMillis) -> Option<Self> {
        let number = NonZeroU64::new(period.number(at))?;
        Some(Self { carried: 0, number })
    }
}

impl FixedWindow {
    /// A window at rest, opened now; nothing is known of any before it.
    pub fn empty<'p>(turns: impl Into<Turns<'p>>, now: UnixMillis) -> Self {
        let Turns { period, rollover } = turns.into();
        Self {
            end: period.end(now),
            count: 0,
            kind: period.kind(),
            carry: rollover.and_then(|_| Carry::none(period, now)),
        }
    }

    /// Reads back a stored state; `None` where no window can be in it. `carry` is
    /// what was carried into it, and its number.
    pub fn from_parts(end: u64, count: u64, kind: u64, carry: Option<(u64, u64)>) -> Option<Self> {
        let (carried, number) = carry.unwrap_or((0, 1));
        let parts = [end, count, kind, carried, number];
        let sound = parts.iter().all(|part| *part <= AMOUNT_MAX);
        let number = NonZeroU64::new(number)?;
        sound.then_some(Self {
            end: UnixMillis(end),
            count,
            kind,
            carry: carry.map(|_| Carry { carried, number }),
        })
    }

    /// Opens the next window where this one is over. Goes on under a changed
    /// limit's period, keeping the count and what was carried.
    pub fn advance<'p>(&mut self, turns: impl Into<Turns<'p>>, now: UnixMillis) {
        let turns = turns.into();
        let Turns { period, rollover } = turns;
        if self.gives_way(period, now) {
            *self = self.next(turns, now);
            return;
        }
        if self.kind != period.kind() || self.is_too_far(period, now) {
            self.end = period.end(now);
            self.kind = period.kind();
            let carried = self.carried();
            let carry = self.carry.and_then(|_| Carry::none(period, now));
            self.carry = carry.map(|carry| Carry { carried, ..carry });
        }
        self.carry = match rollover {
            Some(_) => self
                .carry
                .or_else(|| Carry::none(period, self.end - Millis(1))),
            None => None,
        };
    }

    /// The window that holds this moment, behind this one, which is over.
    fn next(&self, turns: Turns, now: UnixMillis) -> Self {
        let mut next = Self::empty(turns, now);
        let known = now.since(self.end) < KEPT;
        if let (Some(rollover), Some(before), Some(carry)) =
            (turns.rollover, self.carry, &mut next.carry)
            && known
        {
            // Windows of another period can't be counted.
            let idle = match self.kind == next.kind {
                true => carry.number.get().saturating_sub(before.number.get() + 1),
                false => 0,
            };
            carry.carried = rollover.carried(before.carried, self.count, idle);
        }
        next
    }

    /// What was carried into it.
    pub fn carried(&self) -> u64 {
        self.carry.map_or(0, |carry| carry.carried)
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
        self.count.saturating_add(amount) <= self.whole(limit)
    }

    /// All that it gives.
    fn whole(&self, limit: u64) -> u64 {
        limit.saturating_add(self.carried()).min(AMOUNT_MAX)
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
    pub fn retry<'p>(
        &self,
        amount: u64,
        limit: u64,
        turns: impl Into<Turns<'p>>,
        now: UnixMillis,
    ) -> Retry {
        if self.admits(amount, limit) {
            return Retry::After(Millis(0));
        }
        let Turns { period, rollover } = turns.into();
        let most = rollover.map_or(0, |rollover| rollover.most);
        if amount > limit.saturating_add(most).min(AMOUNT_MAX) {
            return Retry::Never;
        }
        // What the next window is carried may not be enough, but grows with each.
        let more = rollover.map_or(0, |rollover| {
            let next = rollover.carried(self.carried(), self.count, 0);
            rollover.windows_until(next, amount.saturating_sub(limit))
        });
        let end = (0..more).fold(self.end, |end, _| period.end(end));
        Retry::After(end.since(now))
    }

    pub fn standing(&self, limit: u64, now: UnixMillis) -> Standing {
        let reset_after = if self.at_rest() {
            Millis(0)
        } else {
            self.end.since(now)
        };
        let whole = self.whole(limit);
        Standing {
            used: self.count,
            exceeded: self.count > whole,
            remaining: whole.saturating_sub(self.count),
            carried: self.carried(),
            reset_after: Some(reset_after),
        }
    }

    /// Whether what it leaves goes into the next.
    pub fn carries(&self) -> bool {
        self.carry.is_some()
    }

    /// Whether a store must keep it: something counts, or may be carried on.
    pub fn is_kept(&self, now: UnixMillis) -> bool {
        match self.carry {
            Some(_) => now < self.end + KEPT,
            None => !self.at_rest() && !self.is_over(now),
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
    use crate::limits::period::{Calendar, CalendarUnit};
    use jiff::civil::Weekday;
    use proptest::prelude::*;

    const HOUR_MS: u64 = 3_600_000;

    fn hourly() -> Arc<Period> {
        Arc::new(Period::aligned(Millis(HOUR_MS)))
    }

    #[test]
    fn it_admits_its_amount_until_its_end_and_anew_from_there() {
        let mut window = FixedWindow::empty(&hourly(), UnixMillis(5));
        assert!(window.admits(10, 10));
        assert_eq!(window.take(10), UnixMillis(HOUR_MS));
        let late = UnixMillis(HOUR_MS - 1);
        window.advance(&hourly(), late);
        assert!(!window.admits(1, 10));
        assert_eq!(
            window.retry(1, 10, &hourly(), late),
            Retry::After(Millis(1))
        );
        assert_eq!(window.retry(11, 10, &hourly(), late), Retry::Never);
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
                carried: 0,
                reset_after: Some(Millis(HOUR_MS)),
            },
            "more than was held is charged, past the limit too"
        );
    }

    #[test]
    fn from_the_first_hit_it_lasts_its_whole_length() {
        let minute = Arc::new(Period::first_hit(Millis(60_000)));
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
        let minute = Arc::new(Period::first_hit(Millis(60_000)));
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
            window.advance(&Arc::new(period), UnixMillis(6));
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

    fn rolling(amount: u64, most: u64, period: &Arc<Period>) -> Turns<'_> {
        Turns {
            period,
            rollover: Some(Rollover { amount, most }),
        }
    }

    #[test]
    fn what_is_left_goes_into_the_next_window() {
        let hourly = hourly();
        let turns = rolling(10, 25, &hourly);
        let mut window = FixedWindow::empty(turns, UnixMillis(5));
        assert_eq!(window.carried(), 0, "nothing is known of any before");
        window.take(7);
        let at = |hour: u64| UnixMillis(hour * HOUR_MS);
        for (hour, takes, carried) in [(1, 13, 3), (2, 0, 0), (3, 2, 10), (5, 0, 25), (99, 35, 25)]
        {
            window.advance(turns, at(hour));
            assert_eq!(window.carried(), carried, "hour {hour}");
            assert!(window.admits(10 + carried, 10) && !window.admits(11 + carried, 10));
            window.take(takes);
        }
        // All of it is used, and more: a debt isn't carried.
        window.take(50);
        window.advance(turns, at(100));
        assert_eq!((window.carried(), window.count), (0, 0));
        // Nobody knows of it any more.
        window.advance(turns, at(101) + KEPT);
        assert_eq!(window.carried(), 0);
    }

    #[test]
    fn it_is_kept_while_something_may_be_carried() {
        let hourly = hourly();
        let turns = rolling(10, 25, &hourly);
        let window = FixedWindow::empty(turns, UnixMillis(5));
        let end = UnixMillis(HOUR_MS);
        assert!(window.is_kept(end + KEPT - Millis(1)) && !window.is_kept(end + KEPT));
        let plain = FixedWindow::empty(&hourly, UnixMillis(5));
        assert!(!plain.is_kept(UnixMillis(5)), "at rest");
    }

    #[test]
    fn a_large_call_waits_until_enough_is_carried() {
        let hourly = hourly();
        let turns = rolling(10, 25, &hourly);
        let now = UnixMillis(5);
        let mut window = FixedWindow::empty(turns, now);
        window.take(10);
        for (amount, retry) in [
            (1, Retry::After(Millis(HOUR_MS - 5))),
            (10, Retry::After(Millis(HOUR_MS - 5))),
            (11, Retry::After(Millis(2 * HOUR_MS - 5))),
            (20, Retry::After(Millis(2 * HOUR_MS - 5))),
            (35, Retry::After(Millis(4 * HOUR_MS - 5))),
            (36, Retry::Never),
        ] {
            assert_eq!(window.retry(amount, 10, turns, now), retry, "{amount}");
        }
    }

    #[test]
    fn a_limit_that_begins_to_carry_begins_with_this_window() {
        let hourly = hourly();
        let mut window = FixedWindow::empty(&hourly, UnixMillis(5));
        window.take(4);
        let turns = rolling(10, 25, &hourly);
        window.advance(turns, UnixMillis(6));
        assert_eq!((window.count, window.carried()), (4, 0));
        window.advance(turns, UnixMillis(HOUR_MS));
        assert_eq!(window.carried(), 6);
        window.advance(&hourly, UnixMillis(HOUR_MS));
        assert_eq!(window.carried(), 0, "it carries no more");
    }

    proptest! {
        /// Window by window, with nothing left out: that is what the numbers of
        /// windows stand for.
        #[test]
        fn what_is_carried_is_exact_and_never_too_much(
            amount in 1_u64..50, times in 1_u64..90, which in 0_usize..4,
            calls in prop::collection::vec((0_u64..40, 0_u64..2_000_000, 1_u64..90), 1..60),
        ) {
            const DAY_MS: u64 = 24 * HOUR_MS;
            let most = (amount * times / 30).max(1);
            let zone = |name| jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap();
            let calendar = |unit, zone| Period::calendar(Calendar { unit, zone });
            let (period, step) = match which {
                0 => (Period::aligned(Millis(HOUR_MS)), HOUR_MS),
                1 => (calendar(CalendarUnit::Day, zone("Europe/Berlin")), DAY_MS),
                2 => (calendar(CalendarUnit::Week(Weekday::Sunday), zone("America/New_York")), 7 * DAY_MS),
                _ => (calendar(CalendarUnit::Month(31), zone("America/Sao_Paulo")), 30 * DAY_MS),
            };
            let period = Arc::new(period);
            let turns = rolling(amount, most, &period);
            let mut now = UnixMillis(1_770_000_000_000);
            let mut window = FixedWindow::empty(turns, now);
            // Of each window since the first: what was used, and what it was carried.
            let mut plain = vec![(0_u64, 0_u64)];
            let mut end = period.end(now);
            for (steps, more, wanted) in calls {
                // Mostly soon, at times after many windows.
                let wait = if steps < 30 { step / 40 * steps } else { step * (steps - 30) / 2 };
                let next = now + Millis(wait + more);
                if next.since(now) >= KEPT {
                    continue;
                }
                now = next;
                while end <= now {
                    let (used, carried) = plain[plain.len() - 1];
                    let left = (amount + carried).saturating_sub(used).min(most);
                    plain.push((0, left));
                    end = period.end(end);
                }
                window.advance(turns, now);
                let last = plain.last_mut().unwrap();
                prop_assert_eq!((window.count, window.carried(), window.end), (last.0, last.1, end));
                let fits = last.0 + wanted <= amount + last.1;
                prop_assert_eq!(window.admits(wanted, amount), fits);
                match window.retry(wanted, amount, turns, now) {
                    Retry::After(Millis(0)) => prop_assert!(fits),
                    Retry::After(wait) => {
                        for (early, passes) in [(Millis(1), false), (Millis(0), true)] {
                            let (mut then, when) = (window, now + wait - early);
                            then.advance(turns, when);
                            prop_assert_eq!(then.admits(wanted, amount), passes);
                        }
                    }
                    _ => prop_assert!(wanted > amount + most),
                }
                if fits {
                    window.take(wanted);
                    last.0 += wanted;
                }
            }
            for from in 0..plain.len() {
                let mut sum = 0;
                for (windows, (used, _)) in (1..).zip(&plain[from..]) {
                    sum += used;
                    prop_assert!(sum <= amount * windows + most);
                }
            }
        }
    }
}
