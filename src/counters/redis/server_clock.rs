//! What time it is at the server, as far as its answers told.
//!
//! The server's own time decides everything. This is only for what is computed
//! before it is asked: where a calendar's windows end.

use crate::counters::CounterError;
use crate::units::UnixMillis;
use std::sync::atomic::{AtomicI64, Ordering};

/// Nothing is known yet.
const UNKNOWN: i64 = i64::MIN;

/// How far the server's clock is ahead of this process's, in milliseconds.
#[derive(Debug)]
pub(super) struct ServerClock(AtomicI64);

impl Default for ServerClock {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

impl ServerClock {
    pub(super) fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed) != UNKNOWN
    }

    /// The server said that it is `server` about when it was `here`.
    pub(super) fn learn(&self, server: UnixMillis, here: UnixMillis) {
        let ahead = i64::try_from(i128::from(server.0) - i128::from(here.0)).unwrap_or(0);
        if self.0.load(Ordering::Relaxed) != ahead {
            self.0.store(ahead, Ordering::Relaxed);
        }
    }

    pub(super) fn server(&self, here: UnixMillis) -> UnixMillis {
        match self.0.load(Ordering::Relaxed) {
            UNKNOWN => here,
            ahead => UnixMillis(here.0.saturating_add_signed(ahead)),
        }
    }
}

/// Where what was computed for the server's time is outdated each time.
pub(super) fn jumping_clock() -> CounterError {
    CounterError::Corrupt("a clock that jumps at every call".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_by_what_the_server_said_last() {
        let clock = ServerClock::default();
        assert!(!clock.is_known());
        assert_eq!(clock.server(UnixMillis(50)), UnixMillis(50));
        for server in [500, 10] {
            clock.learn(UnixMillis(server), UnixMillis(100));
            assert_eq!(clock.server(UnixMillis(110)), UnixMillis(server + 10));
        }
        assert_eq!(clock.server(UnixMillis(0)), UnixMillis(0));
    }
}
