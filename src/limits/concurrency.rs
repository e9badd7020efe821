//! Concurrency: at most `amount` calls in flight, each with a lease.
//!
//! A lease is a hold's id and an expiry. It counts while its expiry lies ahead,
//! so a sidecar that died gives its slots back without anyone's help; one that
//! was only cut off takes them up again, and there may be more leases than slots
//! until some end. When a call ends can't be known, so a refusal never promises a
//! time.

use super::{HoldId, Retry, Standing};
use crate::units::UnixMillis;
use std::collections::BTreeSet;

/// The leases of one counter, ordered by expiry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    by_expiry: BTreeSet<(UnixMillis, HoldId)>,
}

impl Leases {
    /// Forgets leases that have expired.
    pub fn advance(&mut self, now: UnixMillis) {
        while self
            .by_expiry
            .first()
            .is_some_and(|(expiry, _)| *expiry <= now)
        {
            self.by_expiry.pop_first();
        }
    }

    /// Advance first.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            used: u64::try_from(self.by_expiry.len()).unwrap_or(u64::MAX),
        }
    }

    pub fn take(&mut self, hold: HoldId, expiry: UnixMillis) {
        self.by_expiry.insert((expiry, hold));
    }

    pub fn release(&mut self, hold: HoldId, expiry: UnixMillis) {
        self.by_expiry.remove(&(expiry, hold));
    }

    /// Moves the lease of an open hold to a later expiry, which is answered. One
    /// that had lapsed is back, though all slots be taken by now: who renews a
    /// call runs it still.
    pub fn renew(&mut self, hold: HoldId, expiry: UnixMillis, later: UnixMillis) -> UnixMillis {
        let later = later.max(expiry);
        self.by_expiry.remove(&(expiry, hold));
        self.by_expiry.insert((later, hold));
        later
    }

    pub fn at_rest(&self) -> bool {
        self.by_expiry.is_empty()
    }
}

/// How many leases are alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occupancy {
    pub used: u64,
}

impl Occupancy {
    pub fn admits(&self, limit: u64) -> bool {
        self.used < limit
    }

    pub fn take(&mut self) {
        self.used += 1;
    }

    pub fn retry(&self) -> Retry {
        Retry::WhenOneEnds
    }

    pub fn standing(&self, limit: u64) -> Standing {
        Standing {
            used: self.used,
            exceeded: self.used > limit,
            remaining: limit.saturating_sub(self.used),
            carried: 0,
            reset_after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(n: u8) -> HoldId {
        HoldId::new(UnixMillis(1), &[n; 10])
    }

    #[test]
    fn a_lease_counts_until_its_expiry_and_not_at_it() {
        let mut leases = Leases::default();
        leases.take(hold(1), UnixMillis(100));
        leases.take(hold(2), UnixMillis(200));
        leases.advance(UnixMillis(99));
        assert_eq!(leases.occupancy().used, 2);
        assert!(!leases.occupancy().admits(2));
        leases.advance(UnixMillis(100));
        assert_eq!(leases.occupancy().used, 1);
        assert!(leases.occupancy().admits(2));
        leases.advance(UnixMillis(200));
        assert!(leases.at_rest());
    }

    #[test]
    fn renewal_moves_a_lease_later_only_and_brings_back_what_lapsed() {
        let mut leases = Leases::default();
        leases.take(hold(1), UnixMillis(100));
        let renew = |leases: &mut Leases, expiry, later| {
            leases.renew(hold(1), UnixMillis(expiry), UnixMillis(later))
        };
        assert_eq!(renew(&mut leases, 100, 300), UnixMillis(300));
        assert_eq!(renew(&mut leases, 300, 200), UnixMillis(300));
        leases.advance(UnixMillis(299));
        assert_eq!(leases.occupancy().used, 1);
        leases.advance(UnixMillis(300));
        assert!(leases.at_rest());
        assert_eq!(renew(&mut leases, 300, 500), UnixMillis(500));
        assert_eq!(leases.occupancy().used, 1);
        leases.release(hold(1), UnixMillis(500));
        assert!(leases.at_rest());
    }
}
