//! Units of measure: time and tokens as integers that can't be mixed up.
//!
//! Time never comes from here: whoever steps the core passes it in. All
//! arithmetic saturates, so that no input can make it panic or wrap.

use std::ops::{Add, Sub};

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    pub const fn from_mins(mins: u64) -> Self {
        Self::from_secs(mins.saturating_mul(60))
    }
}

impl UnixMillis {
    /// How long ago `earlier` was; zero where it lies in the future (a clock
    /// that stepped back must never turn into a huge span).
    pub fn since(self, earlier: UnixMillis) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Millis> for UnixMillis {
    type Output = UnixMillis;
    fn add(self, span: Millis) -> UnixMillis {
        UnixMillis(self.0.saturating_add(span.0))
    }
}

impl Sub<Millis> for UnixMillis {
    type Output = UnixMillis;
    fn sub(self, span: Millis) -> UnixMillis {
        UnixMillis(self.0.saturating_sub(span.0))
    }
}

impl From<Millis> for std::time::Duration {
    fn from(span: Millis) -> Self {
        std::time::Duration::from_millis(span.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_gives_a_zero_span() {
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), Millis(0));
        assert_eq!(UnixMillis(9).since(UnixMillis(5)), Millis(4));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixMillis(u64::MAX) + Millis(1), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(3) - Millis(4), UnixMillis(0));
        assert_eq!(Millis::from_mins(u64::MAX), Millis(u64::MAX));
    }
}
