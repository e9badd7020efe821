//! What a remote store refused a moment ago, so that a client that hammers a
//! limit costs no round trips.
//!
//! Only refusals are remembered, and only where the store said when the same
//! call would pass. A call of another size is asked anew. What this process
//! gives back to a slot makes it forget that slot; what others give back is
//! noticed within [`REMEMBERED_MAX`].

use crate::limits::{Charge, Refusal, Reservation, Retry, SHARED_SLOT};
use crate::units::{Millis, UnixMillis};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// How long a refusal is believed without asking again.
pub(super) const REMEMBERED_MAX: Millis = Millis(2_000);

/// Shards, so that calls seldom meet on one lock.
const SHARDS: usize = 16;

/// The most that a shard remembers; about 200 bytes each.
const SHARD_MAX: usize = 4_096;

/// Refusals of a moment ago.
#[derive(Default)]
pub(super) struct Denials {
    shards: [Mutex<Shard>; SHARDS],
    /// How many slots have any: most of the time none.
    slots: AtomicUsize,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    slots: HashMap<Arc<str>, Slot>,
    /// In all slots.
    denials: usize,
}

/// By counter.
type Slot = HashMap<Arc<str>, Denial>;

#[derive(Debug, Clone, Copy)]
struct Denial {
    refusal: Refusal,
    /// When the call would pass.
    passes_at: UnixMillis,
    believed_until: UnixMillis,
}

impl Denials {
    /// The refusal that this reservation would get, as far as is known.
    pub(super) fn recall(&self, reservation: &Reservation, now: UnixMillis) -> Option<Refusal> {
        if self.slots.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let own = self.of_slot(&reservation.slot, &reservation.charges, now);
        own.or_else(|| {
            let refusal = self.of_slot(SHARED_SLOT, &reservation.shared, now)?;
            Some(Refusal {
                charge: refusal.charge + reservation.charges.len(),
                ..refusal
            })
        })
    }

    /// The one of several that takes longest.
    fn of_slot(&self, slot: &str, charges: &[Charge], now: UnixMillis) -> Option<Refusal> {
        if charges.is_empty() {
            return None;
        }
        let shard = self.shard(slot);
        let denials = shard.slots.get(slot)?;
        let known = charges.iter().enumerate().filter_map(|(index, charge)| {
            let denial = denials.get(&charge.counter)?;
            let holds = now < denial.believed_until && denial.refusal.requested == charge.wanted();
            holds.then_some((index, denial))
        });
        let (charge, denial) = known.max_by_key(|(_, denial)| denial.passes_at)?;
        Some(Refusal {
            charge,
            retry: Retry::After(denial.passes_at.since(now)),
            ..denial.refusal
        })
    }

    /// Remembers what the store answered.
    pub(super) fn remember(&self, reservation: &Reservation, refusal: Refusal, now: UnixMillis) {
        let Retry::After(wait) = refusal.retry else {
            return;
        };
        let own = reservation.charges.len();
        let (slot, charge) = if refusal.charge < own {
            let charge = reservation.charges.get(refusal.charge);
            (Arc::clone(&reservation.slot), charge)
        } else {
            let charge = reservation.shared.get(refusal.charge - own);
            (Arc::from(SHARED_SLOT), charge)
        };
        let Some(charge) = charge else {
            return;
        };
        let mut shard = self.shard(&slot);
        if shard.denials >= SHARD_MAX {
            // Whoever is still refused is soon known again.
            self.slots.fetch_sub(shard.slots.len(), Ordering::Relaxed);
            *shard = Shard::default();
        }
        let denials = shard.slots.entry(slot).or_insert_with(|| {
            self.slots.fetch_add(1, Ordering::Relaxed);
            Slot::default()
        });
        let denial = Denial {
            refusal,
            passes_at: now + wait,
            believed_until: now + wait.min(REMEMBERED_MAX),
        };
        let before = denials.insert(charge.counter.clone(), denial);
        shard.denials += usize::from(before.is_none());
    }

    /// Something was given back to the slot of this hold.
    pub(super) fn forget(&self, slot: &str) {
        if self.slots.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut shard = self.shard(slot);
        if let Some(denials) = shard.slots.remove(slot) {
            shard.denials -= denials.len();
            self.slots.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, slot: &str) -> MutexGuard<'_, Shard> {
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        let index = usize::try_from(self.hasher.hash_one(slot) % shards).unwrap_or(0);
        // A panic while it was locked left it whole: each change is one call.
        self.shards[index]
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Algorithm, HoldId, Limit, Mode, Scope, Unit};

    fn charge(counter: &str, amount: u64) -> Charge {
        let limit = Limit {
            name: counter.into(),
            scope: Scope::TENANT,
            unit: Unit::Requests,
            amount: 1,
            algorithm: Algorithm::SlidingWindow {
                every: Millis(60_000),
            },
            mode: Mode::Enforce,
        };
        Charge::new(Arc::new(limit), counter, amount)
    }

    fn reservation(slot: &str, charges: Vec<Charge>, shared: Vec<Charge>) -> Reservation {
        Reservation {
            hold: HoldId::new(UnixMillis(1), &[1; 10]),
            slot: slot.into(),
            charges,
            shared,
            hold_ttl: Millis(60_000),
            lease_ttl: Millis(15_000),
            context: "".into(),
        }
    }

    fn refusal(charge: usize, requested: u64, wait_ms: u64) -> Refusal {
        Refusal {
            charge,
            used: 1,
            requested,
            remaining: 0,
            retry: Retry::After(Millis(wait_ms)),
        }
    }

    fn recalled(denials: &Denials, reservation: &Reservation, now: u64) -> Option<(usize, Retry)> {
        let refusal = denials.recall(reservation, UnixMillis(now));
        refusal.map(|refusal| (refusal.charge, refusal.retry))
    }

    #[test]
    fn the_same_call_is_refused_until_it_would_pass_and_not_believed_for_long() {
        let denials = Denials::default();
        let call = reservation("acme", vec![charge("a", 1), charge("b", 1)], Vec::new());
        assert_eq!(recalled(&denials, &call, 0), None);
        denials.remember(&call, refusal(1, 1, 500), UnixMillis(0));
        assert_eq!(
            recalled(&denials, &call, 499),
            Some((1, Retry::After(Millis(1))))
        );
        assert_eq!(recalled(&denials, &call, 500), None);
        denials.remember(&call, refusal(0, 1, 60_000), UnixMillis(0));
        let wait = Retry::After(Millis(58_001));
        assert_eq!(recalled(&denials, &call, 1_999), Some((0, wait)));
        assert_eq!(recalled(&denials, &call, 2_000), None, "asked again");
        let other = reservation("other", call.charges.clone(), Vec::new());
        assert_eq!(recalled(&denials, &other, 10), None, "of another tenant");
        let larger = reservation("acme", vec![charge("b", 2)], Vec::new());
        assert_eq!(recalled(&denials, &larger, 10), None, "of another size");
    }

    #[test]
    fn what_is_given_back_makes_it_forget() {
        let denials = Denials::default();
        let call = reservation("acme", vec![charge("a", 1)], vec![charge("s", 1)]);
        denials.remember(&call, refusal(0, 1, 500), UnixMillis(0));
        denials.remember(&call, refusal(1, 1, 500), UnixMillis(0));
        assert_eq!(recalled(&denials, &call, 1).unwrap().0, 0);
        denials.forget("acme");
        assert_eq!(
            recalled(&denials, &call, 1).unwrap().0,
            1,
            "of the shared ones"
        );
        denials.forget(SHARED_SLOT);
        assert_eq!(recalled(&denials, &call, 1), None);
        assert_eq!(denials.slots.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn slots_that_end_when_a_call_does_and_calls_that_never_fit_are_not_remembered() {
        let denials = Denials::default();
        let call = reservation("acme", vec![charge("a", 1)], Vec::new());
        for retry in [Retry::WhenOneEnds, Retry::Never] {
            let refusal = Refusal {
                retry,
                ..refusal(0, 1, 0)
            };
            denials.remember(&call, refusal, UnixMillis(0));
            assert_eq!(recalled(&denials, &call, 1), None);
        }
    }

    #[test]
    fn it_stays_small() {
        let denials = Denials::default();
        for n in 0..200_000 {
            let call = reservation("acme", vec![charge(&n.to_string(), 1)], Vec::new());
            denials.remember(&call, refusal(0, 1, 500), UnixMillis(0));
        }
        let shard = denials.shard("acme");
        let held: usize = shard.slots.values().map(HashMap::len).sum();
        assert!(held <= SHARD_MAX);
        assert_eq!(held, shard.denials);
    }
}
