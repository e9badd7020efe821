//! Sliding window: about `amount` in any span of `every`, by sub-windows.
//!
//! Time is cut into sub-windows of `every / 12` milliseconds (rounded up),
//! aligned to the epoch. What is used now is the sum of the twelve newest
//! sub-windows plus that part of the thirteenth which the window still covers,
//! as if its charges had come evenly; the part is a fraction of 1/65536ths,
//! rounded up, and so is the product.
//!
//! Error bound, with S the length of a sub-window:
//! - `used` is never less than what came in the last 11 S, nor more than what
//!   came in the last 13 S. So at most `amount` passes in any span of 11/12 of
//!   `every`, whatever clients do.
//! - From the exact count of the last 12 S it differs by at most what fell into
//!   the one, oldest, sub-window, and where it is less, by less than that. So in
//!   a whole `every` less than twice `amount` passes: the worst is to send all at
//!   the end of a sub-window and then whatever its fading lets through, once
//!   after each pause. Measured with twice the `amount` asked for: 1.00 times
//!   `amount` in even steps, 1.03 at random, 1.99 at worst.
//! - Where `every` is no multiple of 12 ms, 12 S is longer than `every`, by less
//!   than 12 ms, never shorter.
//!
//! `tests/conformance/bound.rs` holds it to this. (What a call uses beyond its
//! reservation passes any limit, and an overage of a call that outlasted the
//! window counts from when it is known.)
//!
//! Always holds: without new charges `used` never grows; the twelve newest
//! counts together stay at most [`AMOUNT_MAX`]; time never runs backwards. The
//! twin of this module is `counters/redis/counters.lua`.

use super::{AMOUNT_MAX, Retry, Standing};
use crate::units::{Millis, UnixMillis};

/// Sub-windows that lie wholly inside the window.
pub const SUB_WINDOWS: usize = 12;

/// Those, and the oldest one that the window covers in part.
pub const COUNTS: usize = SUB_WINDOWS + 1;

/// The longest window: 50 years. A sub-window's length times [`FRACTION`]
/// then stays below 2^53.
pub const EVERY_MAX: Millis = Millis(50 * 366 * 86_400_000);

/// Steps of the oldest sub-window's fraction.
const FRACTION: u64 = 65_536;

/// [`SUB_WINDOWS`] for arithmetic on sub-window numbers.
const SPAN: u64 = 12;

/// How long one sub-window of a window is, in milliseconds, at least 1.
pub fn sub_window_ms(every: Millis) -> u64 {
    every.0.div_ceil(SPAN).max(1)
}

/// The sub-window that a charge went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenIn {
    pub sub_ms: u64,
    pub index: u64,
}

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    sub_ms: u64,
    /// The number, since the epoch, of the newest sub-window.
    head: u64,
    /// Newest first.
    counts: [u64; COUNTS],
}

impl Window {
    /// A window at rest. `sub_ms` is from [`sub_window_ms`].
    pub fn empty(sub_ms: u64, now: UnixMillis) -> Self {
        let sub_ms = sub_ms.max(1);
        Self {
            sub_ms,
            head: now.0 / sub_ms,
            counts: [0; COUNTS],
        }
    }

    /// Reads back a stored state; `None` where no window can be in it.
    pub fn from_parts(sub_ms: u64, head: u64, counts: [u64; COUNTS]) -> Option<Self> {
        let sound = (1..=sub_window_ms(EVERY_MAX)).contains(&sub_ms)
            && head <= AMOUNT_MAX / sub_ms
            && counts.iter().all(|count| *count <= AMOUNT_MAX);
        sound.then_some(Self {
            sub_ms,
            head,
            counts,
        })
    }

    /// Forgets sub-windows that are over; a clock that stepped back changes
    /// nothing.
    pub fn advance(&mut self, now: UnixMillis) {
        let index = now.0 / self.sub_ms;
        let by = index.saturating_sub(self.head);
        if by == 0 {
            return;
        }
        let by = usize::try_from(by).unwrap_or(COUNTS).min(COUNTS);
        self.counts.rotate_right(by);
        if let Some(new) = self.counts.get_mut(..by) {
            new.fill(0);
        }
        self.head = index;
    }

    /// Goes on under a changed limit's length: what is used now is counted as
    /// if it had come now. Advance first.
    pub fn adopt(&mut self, sub_ms: u64, now: UnixMillis) {
        if sub_ms == self.sub_ms {
            return;
        }
        let used = self.used(now).min(AMOUNT_MAX);
        *self = Self::empty(sub_ms, now);
        self.counts[0] = used;
    }

    /// Whether its sub-windows are as long as the other's.
    pub fn is_cut_like(&self, other: &Self) -> bool {
        self.sub_ms == other.sub_ms
    }

    /// Advance first.
    pub fn used(&self, now: UnixMillis) -> u64 {
        let covered = self.sub_ms - self.position(now);
        let fraction = ceil_mul_div(covered, FRACTION, self.sub_ms);
        self.full() + ceil_mul_div(self.counts[SUB_WINDOWS], fraction, FRACTION)
    }

    /// Whether a call of this size passes now. Advance first.
    pub fn admits(&self, amount: u64, limit: u64, now: UnixMillis) -> bool {
        self.used(now).saturating_add(amount) <= limit
    }

    /// Charges the current sub-window and says which that is.
    pub fn take(&mut self, amount: u64) -> TakenIn {
        let room = AMOUNT_MAX.saturating_sub(self.full());
        self.counts[0] += amount.min(room);
        TakenIn {
            sub_ms: self.sub_ms,
            index: self.head,
        }
    }

    /// Replaces what was held by what was used, in the sub-window that was
    /// charged. Where that is over, a refund is dropped and an overage charges
    /// the current one. Advance first.
    pub fn correct(&mut self, taken: TakenIn, held: u64, actual: u64) {
        let place = self.place(taken);
        if actual < held {
            if let Some(count) = place.and_then(|place| self.counts.get_mut(place)) {
                *count = count.saturating_sub(held - actual);
            }
            return;
        }
        let over = (actual - held).min(AMOUNT_MAX);
        match place {
            // Outside the full ones, so it has a bound of its own.
            Some(SUB_WINDOWS) => {
                let count = &mut self.counts[SUB_WINDOWS];
                *count = count.saturating_add(over).min(AMOUNT_MAX);
            }
            Some(place) => {
                let room = AMOUNT_MAX.saturating_sub(self.full());
                if let Some(count) = self.counts.get_mut(place) {
                    *count += over.min(room);
                }
            }
            None => {
                self.take(over);
            }
        }
    }

    /// When this call would be admitted if nothing else came.
    pub fn retry(&self, amount: u64, limit: u64, now: UnixMillis) -> Retry {
        match limit.checked_sub(amount) {
            None => Retry::Never,
            Some(most) => Retry::After(self.falls_to(most, now)),
        }
    }

    pub fn standing(&self, limit: u64, now: UnixMillis) -> Standing {
        let used = self.used(now);
        Standing {
            used,
            exceeded: used > limit,
            remaining: limit.saturating_sub(used),
            carried: 0,
            reset_after: Some(self.falls_to(0, now)),
        }
    }

    pub fn at_rest(&self) -> bool {
        self.counts == [0; COUNTS]
    }

    /// How long until `used` is at most `most` if nothing else comes.
    fn falls_to(&self, most: u64, now: UnixMillis) -> Millis {
        // Sub-windows may lie ahead of a clock that stepped back.
        if self.used(now) <= most {
            return Millis(0);
        }
        let mut full = self.full();
        let mut first_position = self.position(now);
        for (step, partial) in (0..=SPAN).zip(self.counts.iter().rev()) {
            if let Some(room) = most.checked_sub(full)
                && let Some(position) = self.position_with_room(*partial, room)
            {
                let position = position.max(first_position);
                let start = self.start_of(self.head.saturating_add(step));
                return (start + Millis(position)).since(now);
            }
            // One sub-window on, the oldest full one is the partial one.
            let next = SUB_WINDOWS.checked_sub(1 + usize::try_from(step).unwrap_or(0));
            let next = next.and_then(|next| self.counts.get(next)).copied();
            full -= next.unwrap_or(0);
            first_position = 0;
        }
        self.start_of(self.head.saturating_add(SPAN + 1)).since(now)
    }

    /// The first position in a sub-window at which `count` in the partial one
    /// weighs at most `room`; `None` where none is early enough.
    fn position_with_room(&self, count: u64, room: u64) -> Option<u64> {
        if count <= room {
            return Some(0);
        }
        // `room < count`, so this is below FRACTION and fits.
        let fraction_max = u128::from(room) * u128::from(FRACTION) / u128::from(count);
        let covered_max = fraction_max * u128::from(self.sub_ms) / u128::from(FRACTION);
        let position = self.sub_ms - u64::try_from(covered_max).unwrap_or(0);
        (position < self.sub_ms).then_some(position)
    }

    /// Where in the newest sub-window `now` is, in milliseconds.
    fn position(&self, now: UnixMillis) -> u64 {
        now.since(self.start_of(self.head)).0.min(self.sub_ms - 1)
    }

    fn start_of(&self, index: u64) -> UnixMillis {
        UnixMillis(index.saturating_mul(self.sub_ms))
    }

    fn place(&self, taken: TakenIn) -> Option<usize> {
        if taken.sub_ms != self.sub_ms {
            return None;
        }
        let age = self.head.checked_sub(taken.index)?;
        usize::try_from(age).ok().filter(|age| *age < COUNTS)
    }

    /// The sum of the twelve newest counts.
    pub fn full(&self) -> u64 {
        self.counts.iter().take(SUB_WINDOWS).sum()
    }
}

/// `a * b / c`, rounded up.
fn ceil_mul_div(a: u64, b: u64, c: u64) -> u64 {
    let quotient = (u128::from(a) * u128::from(b)).div_ceil(u128::from(c));
    u64::try_from(quotient).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
