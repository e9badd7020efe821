//! What a window had left and takes into the next one: a budget's rollover.
//!
//! Always holds: no window is carried more than [`Rollover::most`], so windows
//! together never give more than their amounts and that; a debt isn't carried;
//! what was added to a budget once isn't either. Windows without any call count:
//! each leaves its whole amount.

use super::AMOUNT_MAX;
use crate::units::Millis;

/// The most whole amounts that may be carried: what is carried is told without
/// looking at more windows than this.
pub const AMOUNTS_MAX: u64 = 36;

/// How long after a window's end it is still known what it had left: longer than
/// any window that carries lasts ([`EVERY_MAX`]). Nothing is carried out of a window
/// that has been over for as long as this.
pub const KEPT: Millis = Millis(400 * 86_400_000);

/// The longest window that may carry.
pub const EVERY_MAX: Millis = Millis(366 * 86_400_000);

/// How a window's rest is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollover {
    /// What each window has by itself: its limit's amount, without what was added
    /// to it once. At least 1.
    pub amount: u64,
    /// The most that is carried into a window: at least 1, at most [`AMOUNTS_MAX`]
    /// times the amount.
    pub most: u64,
}

impl Rollover {
    /// Whether it can be counted.
    pub fn is_sound(self) -> bool {
        self.amount > 0
            && (1..=self.amount.saturating_mul(AMOUNTS_MAX)).contains(&self.most)
            && self.amount.saturating_add(self.most) <= AMOUNT_MAX
    }

    /// What is carried into a window out of the one that was carried `before` and
    /// used so much; so many windows without any call lie between them.
    pub fn carried(self, before: u64, used: u64, idle: u64) -> u64 {
        let left = self.amount.saturating_add(before).saturating_sub(used);
        let unused = self.amount.saturating_mul(idle);
        left.saturating_add(unused).min(self.most)
    }

    /// How many windows without any call it takes until so much is carried, which is
    /// no more than ever is.
    pub fn windows_until(self, carried: u64, wanted: u64) -> u64 {
        let lacks = wanted.saturating_sub(carried);
        lacks.div_ceil(self.amount.max(1)).min(AMOUNTS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTHLY: Rollover = Rollover {
        amount: 100,
        most: 250,
    };

    #[test]
    fn what_is_left_is_carried_up_to_the_most() {
        for (before, used, idle, carried) in [
            (0, 0, 0, 100),
            (0, 30, 0, 70),
            (70, 0, 0, 170),
            (70, 170, 0, 0),
            (70, 999, 0, 0),
            (170, 0, 0, 250),
            (0, 999, 1, 100),
            (0, 60, 1, 140),
            (0, 60, 2, 240),
            (0, 60, 3, 250),
            (0, 0, u64::MAX, 250),
            (250, 0, 0, 250),
        ] {
            assert_eq!(
                MONTHLY.carried(before, used, idle),
                carried,
                "{before} {used} {idle}"
            );
        }
    }

    #[test]
    fn all_windows_at_once_are_as_one_after_the_other() {
        for used in [0, 40, 100, 130, 900] {
            for before in [0, 20, 250] {
                let mut step = MONTHLY.carried(before, used, 0);
                for idle in 0..5 {
                    assert_eq!(MONTHLY.carried(before, used, idle), step);
                    step = MONTHLY.carried(step, 0, 0);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_counted_is_not_sound() {
        let sound = |amount, most| Rollover { amount, most }.is_sound();
        assert!(sound(1, 1) && sound(1, 36) && sound(100, 250));
        assert!(!sound(0, 1) && !sound(1, 0) && !sound(1, 37));
        assert!(!sound(AMOUNT_MAX, 1) && sound(AMOUNT_MAX - 1, 1));
    }
}
