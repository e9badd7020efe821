//! The one place where time and randomness come from.
//!
//! Time is Unix time read once at start and carried on by the monotonic clock,
//! so that a step of the wall clock can't end leases or open windows. A process
//! that runs for long follows the wall clock's drift by at most
//! [`DRIFT_FOLLOWED_MAX`] at each reading; a larger jump is a step and is not
//! followed.

use crate::tokens::Stopwatch;
use crate::units::{Millis, UnixMillis};
use rand::RngCore;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The largest difference between wall clock and carried time that counts as
/// drift rather than as a step.
const DRIFT_FOLLOWED_MAX: Millis = Millis(500);

/// Unix time that never jumps.
#[derive(Debug)]
pub struct Clock {
    /// Unix time at `anchor`, corrected for drift.
    base_ms: AtomicU64,
    anchor: Instant,
}

/// Fresh random bits for one call.
#[derive(Debug, Clone, Copy)]
pub struct Random {
    pub id: [u8; 10],
    pub seed: u64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self {
            base_ms: AtomicU64::new(wall_ms(SystemTime::now())),
            anchor: Instant::now(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> UnixMillis {
        let elapsed = u64::try_from(Instant::now().duration_since(self.anchor).as_millis());
        let base = self.base_ms.load(Ordering::Relaxed);
        UnixMillis(base.saturating_add(elapsed.unwrap_or(u64::MAX)))
    }

    /// For measuring how long something takes.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Follows the wall clock's slow drift. Called now and then.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn follow_drift(&self) {
        let (carried, wall) = (self.now().0, wall_ms(SystemTime::now()));
        if wall > carried && wall - carried <= DRIFT_FOLLOWED_MAX.0 {
            self.base_ms.fetch_add(wall - carried, Ordering::Relaxed);
        }
    }
}

/// Counts from when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic(Instant);

impl Monotonic {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Stopwatch for Monotonic {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn nanos(&self) -> u64 {
        let elapsed = Instant::now().duration_since(self.0);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}

fn wall_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Random bits that nobody can foretell: from a cipher that the operating
/// system seeds, again and again, so that not every call asks the system.
pub fn random() -> Random {
    let mut id = [0u8; 10];
    let mut generator = rand::rng();
    generator.fill_bytes(&mut id);
    Random {
        id,
        seed: generator.next_u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_only_goes_on() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..1_000 {
            clock.follow_drift();
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn random_bits_differ() {
        assert_ne!(random().id, random().id);
    }
}
