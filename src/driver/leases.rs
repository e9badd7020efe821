//! The holds that this process keeps alive.
//!
//! An open hold is renewed every few seconds by the process that answers for
//! it, so that a long answer never loses its slot while its sidecar lives, and
//! a dead sidecar's slots come back soon.

use crate::limits::{HoldId, Reservation};
use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Shards, so that calls seldom meet on one lock.
const SHARDS: usize = 16;

/// Holds under this process's care.
#[derive(Default)]
pub struct Leases {
    shards: [Mutex<HashMap<HoldId, Lease>>; SHARDS],
}

/// One hold under care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub slot: Arc<str>,
    /// What it took, for a store that loses it; `None` where another filter
    /// reserved.
    pub reservation: Option<Arc<Reservation>>,
    /// Handed over by a door: kept alive until then, for a meter to adopt.
    pub until: Option<UnixMillis>,
    /// Its call is over, though the store may not have heard of it.
    pub over: bool,
}

impl Leases {
    pub(super) fn keep(&self, hold: HoldId, lease: Lease) {
        self.shard(hold).insert(hold, lease);
    }

    /// Takes over a hold that another filter reserved, maybe in this process: what
    /// it took is known then.
    pub(super) fn adopt(&self, hold: HoldId, slot: Arc<str>) {
        let mut shard = self.shard(hold);
        let lease = shard.entry(hold).or_insert(Lease {
            slot,
            reservation: None,
            until: None,
            over: false,
        });
        lease.until = None;
    }

    pub(super) fn release(&self, hold: HoldId) {
        self.shard(hold).remove(&hold);
    }

    /// The hold's call is over; it is kept alive until it is released.
    pub(super) fn over(&self, hold: HoldId) {
        if let Some(lease) = self.shard(hold).get_mut(&hold) {
            lease.over = true;
        }
    }

    /// Whether the hold is here and its call is not over.
    pub(super) fn is_open(&self, hold: HoldId) -> bool {
        self.shard(hold).get(&hold).is_some_and(|lease| !lease.over)
    }

    /// All holds to renew; those whose time is over are given up, and told to
    /// `given_up`.
    pub(super) fn due(
        &self,
        now: UnixMillis,
        mut given_up: impl FnMut(HoldId),
    ) -> Vec<(HoldId, Arc<str>)> {
        let mut due = Vec::new();
        for shard in &self.shards {
            let mut leases = lock(shard);
            let over = |lease: &mut Lease| lease.until.is_some_and(|until| until <= now);
            for (hold, _) in leases.extract_if(|_, lease| over(lease)) {
                given_up(hold);
            }
            due.extend(
                leases
                    .iter()
                    .map(|(hold, lease)| (*hold, Arc::clone(&lease.slot))),
            );
        }
        due
    }

    /// What the hold took, as far as this process reserved it.
    pub(super) fn reservation(&self, hold: HoldId) -> Option<Arc<Reservation>> {
        self.shard(hold).get(&hold)?.reservation.clone()
    }

    /// What the calls took that are open and that `wanted` picks.
    pub(super) fn open_calls(
        &self,
        wanted: impl Fn(&Reservation) -> bool,
    ) -> Vec<Arc<Reservation>> {
        let mut picked = Vec::new();
        for shard in &self.shards {
            let leases = lock(shard);
            let taken = leases
                .values()
                .filter(|lease| !lease.over)
                .filter_map(|lease| lease.reservation.as_ref());
            picked.extend(taken.filter(|taken| wanted(taken)).cloned());
        }
        picked
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, hold: HoldId) -> MutexGuard<'_, HashMap<HoldId, Lease>> {
        // The last byte of an id is random.
        let index = usize::from(hold.0.as_bytes()[15]) % SHARDS;
        lock(&self.shards[index])
    }
}

/// A panic while a shard was locked left its map whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(n: u8) -> HoldId {
        HoldId::new(UnixMillis(1), &[n; 10])
    }

    #[test]
    fn a_handed_over_hold_is_kept_until_its_time_and_no_longer() {
        let leases = Leases::default();
        let slot: Arc<str> = "acme".into();
        leases.keep(
            hold(1),
            Lease {
                slot: Arc::clone(&slot),
                reservation: None,
                until: None,
                over: false,
            },
        );
        leases.keep(
            hold(2),
            Lease {
                slot,
                reservation: None,
                until: Some(UnixMillis(100)),
                over: false,
            },
        );
        let mut given_up = Vec::new();
        let due = leases.due(UnixMillis(99), |hold| given_up.push(hold));
        assert_eq!((due.len(), given_up.len()), (2, 0));
        let due = leases.due(UnixMillis(100), |hold| given_up.push(hold));
        assert_eq!(due, vec![(hold(1), "acme".into())]);
        assert_eq!(given_up, [hold(2)]);
        leases.release(hold(1));
        assert_eq!(leases.len(), 0);
    }
}
