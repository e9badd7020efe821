//! What a remote store refused a moment ago, so that a client that hammers a
//! limit costs no round trips.
//!
//! Only refusals are remembered, and only where the store said when the same
//! call would pass. A call that asks the same counter for more is refused too,
//! for as long as `limits` can tell from that; a smaller one is asked anew, as
//! is one whose limit has changed. What this process gives back to a slot makes
//! it forget that slot, and not believe what was asked before and is answered
//! after; what others give back is noticed within [`REMEMBERED_MAX`].
//!
//! The wait that is told is that of the counters whose refusals are remembered.
//! Another counter of the call may make it wait for longer: that is told when
//! the store is asked again.

use crate::limits::{Charge, Limit, Refusal, Reservation, Retry, SHARED_SLOT};
use crate::units::{Millis, UnixMillis};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long a refusal is believed without asking again.
pub(super) const REMEMBERED_MAX: Millis = Millis(2_000);

/// Shards, so that calls seldom meet on one lock.
const SHARDS: usize = 16;

/// The most that a shard remembers; about 200 bytes each.
const SHARD_MAX: usize = 4_096;

/// Counts of what was given back; a multiple of [`SHARDS`], so that all slots of
/// one are in one shard. Slots that share one only ask the store more often.
const EPOCHS: usize = 1_024;

/// Refusals of a moment ago.
pub(super) struct Denials {
    shards: [Mutex<Shard>; SHARDS],
    /// How often anything was given back to slots. Changed under the lock of
    /// their shard.
    epochs: Vec<AtomicU64>,
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

/// What had been given back when a question was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    own: u64,
    shared: u64,
}

/// By counter.
type Slot = HashMap<Arc<str>, Denial>;

#[derive(Debug, Clone)]
struct Denial {
    /// Which refused.
    limit: Arc<Limit>,
    refusal: Refusal,
    /// When the call would pass, from `at` on.
    wait: Millis,
    at: UnixMillis,
}

impl Denial {
    /// How long a charge on the same counter still waits, if it is as large and
    /// what is known is not too old.
    fn still_waits(&self, charge: &Charge, now: UnixMillis) -> Option<Millis> {
        if self.limit != charge.limit {
            return None;
        }
        let wait = self
            .limit
            .wait_of_larger(self.refusal.requested, self.wait, charge.wanted())?;
        let believed = now < self.at + wait.min(REMEMBERED_MAX);
        believed.then(|| (self.at + wait).since(now))
    }

    /// When its counter is at rest, as far as was said.
    fn reset_after(&self, now: UnixMillis) -> Option<Millis> {
        let reset = self.refusal.reset_after?;
        Some((self.at + reset).since(now))
    }
}

impl Default for Denials {
    fn default() -> Self {
        Self {
            shards: Default::default(),
            epochs: (0..EPOCHS).map(|_| AtomicU64::new(0)).collect(),
            slots: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }
    }
}

impl Denials {
    /// Before the store is asked: what its answer may be remembered by.
    pub(super) fn asks(&self, reservation: &Reservation) -> Asked {
        Asked {
            own: self.epoch(&reservation.slot).load(Ordering::Acquire),
            shared: match reservation.shared.is_empty() {
                true => 0,
                false => self.epoch(SHARED_SLOT).load(Ordering::Acquire),
            },
        }
    }

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
            let wait = denial.still_waits(charge, now)?;
            let refusal = Refusal {
                charge: index,
                requested: charge.wanted(),
                retry: Retry::After(wait),
                reset_after: denial.reset_after(now),
                ..denial.refusal
            };
            Some((wait, refusal))
        });
        // Of equals the first, as a store says.
        let longest = known.reduce(|a, b| if b.0 > a.0 { b } else { a });
        longest.map(|(_, refusal)| refusal)
    }

    /// Remembers what the store answered, unless something was given back to the
    /// slot since it was asked: then there may be room by now.
    pub(super) fn remember(
        &self,
        reservation: &Reservation,
        refusal: Refusal,
        asked: Asked,
        now: UnixMillis,
    ) {
        let Retry::After(wait) = refusal.retry else {
            return;
        };
        let own = reservation.charges.len();
        let (slot, epoch, charge) = if refusal.charge < own {
            let charge = reservation.charges.get(refusal.charge);
            (Arc::clone(&reservation.slot), asked.own, charge)
        } else {
            let charge = reservation.shared.get(refusal.charge - own);
            (Arc::from(SHARED_SLOT), asked.shared, charge)
        };
        let Some(charge) = charge else {
            return;
        };
        let mut shard = self.shard(&slot);
        if self.epoch(&slot).load(Ordering::Acquire) != epoch {
            return;
        }
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
            limit: Arc::clone(&charge.limit),
            refusal,
            wait,
            at: now,
        };
        let before = denials.insert(charge.counter.clone(), denial);
        shard.denials += usize::from(before.is_none());
    }

    /// Something was given back to the slot of this hold.
    pub(super) fn forget(&self, slot: &str) {
        let mut shard = self.shard(slot);
        // Under the lock: what is remembered in between is forgotten here.
        self.epoch(slot).fetch_add(1, Ordering::AcqRel);
        if let Some(denials) = shard.slots.remove(slot) {
            shard.denials -= denials.len();
            self.slots.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Limits may have changed: whoever was refused is asked about anew, and no
    /// answer of before is remembered.
    pub(super) fn forget_all(&self) {
        // Shard by shard, so that calls wait for a moment at most.
        for (place, shard) in self.shards.iter().enumerate() {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let epochs = self.epochs.iter().skip(place).step_by(SHARDS);
            for epoch in epochs {
                epoch.fetch_add(1, Ordering::AcqRel);
            }
            self.slots.fetch_sub(shard.slots.len(), Ordering::Relaxed);
            *shard = Shard::default();
        }
    }

    fn epoch(&self, slot: &str) -> &AtomicU64 {
        &self.epochs[self.place(slot, EPOCHS)]
    }

    fn shard(&self, slot: &str) -> MutexGuard<'_, Shard> {
        // A panic while it was locked left it whole: each change is one call.
        self.shards[self.place(slot, SHARDS)]
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// One of so many, always the same for a slot.
    fn place(&self, slot: &str, places: usize) -> usize {
        let of = u64::try_from(places).unwrap_or(1);
        usize::try_from(self.hasher.hash_one(slot) % of).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::period::Period;
    use crate::limits::{Algorithm, HoldId, Mode, Scope, Unit};

    fn charge(counter: &str, amount: u64) -> Charge {
        let every = Millis(60_000);
        charge_of(Algorithm::SlidingWindow { every }, counter, amount)
    }

    fn charge_of(algorithm: Algorithm, counter: &str, amount: u64) -> Charge {
        let limit = Limit {
            name: counter.into(),
            scope: Scope::TENANT,
            unit: Unit::Tokens,
            amount: 1_000,
            algorithm,
            mode: Mode::Enforce,
        };
        Charge::new(Arc::new(limit), counter, amount)
    }

    fn reservation(slot: &str, charges: Vec<Charge>, shared: Vec<Charge>) -> Reservation {
        Reservation {
            hold: HoldId::new(UnixMillis(1), &[1; 10]),
            slot: slot.into(),
            charges: charges.into(),
            shared: shared.into(),
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
            reset_after: Some(Millis(2 * wait_ms)),
            retry: Retry::After(Millis(wait_ms)),
        }
    }

    /// The answer to a question that was just asked.
    fn remember(denials: &Denials, call: &Reservation, refusal: Refusal, now: UnixMillis) {
        denials.remember(call, refusal, denials.asks(call), now);
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
        remember(&denials, &call, refusal(1, 1, 500), UnixMillis(0));
        assert_eq!(
            recalled(&denials, &call, 499),
            Some((1, Retry::After(Millis(1))))
        );
        assert_eq!(recalled(&denials, &call, 500), None);
        remember(&denials, &call, refusal(0, 1, 60_000), UnixMillis(0));
        let wait = Retry::After(Millis(58_001));
        assert_eq!(recalled(&denials, &call, 1_999), Some((0, wait)));
        assert_eq!(recalled(&denials, &call, 2_000), None, "asked again");
        let other = reservation("other", call.charges.to_vec(), Vec::new());
        assert_eq!(recalled(&denials, &other, 10), None, "of another tenant");
        let larger = reservation("acme", vec![charge("b", 2)], Vec::new());
        assert_eq!(
            recalled(&denials, &larger, 10),
            None,
            "its wait isn't known"
        );
    }

    #[test]
    fn when_the_counter_is_at_rest_comes_nearer() {
        let denials = Denials::default();
        let call = reservation("acme", vec![charge("a", 1)], Vec::new());
        remember(&denials, &call, refusal(0, 1, 500), UnixMillis(0));
        for (now, reset_ms) in [(0, 1_000), (300, 700), (499, 501)] {
            let told = denials.recall(&call, UnixMillis(now)).unwrap();
            assert_eq!(told.reset_after, Some(Millis(reset_ms)));
        }
    }

    /// What a client does that makes its prompt a little longer each time.
    #[test]
    fn a_larger_call_is_refused_too_and_told_its_own_wait() {
        let every = Millis(60_000);
        let window = || Algorithm::FixedWindow {
            period: Arc::new(Period::aligned(every)),
            rollover: None,
        };
        let bucket = || Algorithm::TokenBucket { every, burst: 500 };
        for (algorithm, waits, most) in [
            (&window as &dyn Fn() -> Algorithm, [300, 300], 1_000),
            // A token each 60 ms.
            (&bucket, [360, 300 + 399 * 60], 500),
        ] {
            let denials = Denials::default();
            let call = |amount| {
                let charge = charge_of(algorithm(), "t", amount);
                reservation("acme", vec![charge], Vec::new())
            };
            let told = |amount, now| {
                let refusal = denials.recall(&call(amount), UnixMillis(now))?;
                assert_eq!(refusal.requested, amount);
                Some(refusal.retry)
            };
            remember(&denials, &call(100), refusal(0, 100, 300), UnixMillis(0));
            let after = |ms| Some(Retry::After(Millis(ms)));
            assert_eq!(told(100, 10), after(290));
            assert_eq!(told(101, 10), after(waits[0] - 10));
            assert_eq!(told(499, 10), after(waits[1] - 10));
            assert_eq!(told(most + 1, 10), None, "whether it ever fits is asked");
            assert_eq!(told(99, 10), None, "a smaller one may pass");
            assert_eq!(told(100, 300), None);
            assert_eq!(told(101, waits[0]), None);
            let beyond = told(300, 1_999).is_some();
            assert_eq!(beyond, waits[0] > 300, "as long as it waits itself");
            assert_eq!(told(300, 2_000), None, "asked again");
        }
    }

    #[test]
    fn what_another_limit_refused_is_not_held_against_a_call() {
        let denials = Denials::default();
        let call = reservation("acme", vec![charge("a", 1)], Vec::new());
        remember(&denials, &call, refusal(0, 1, 500), UnixMillis(0));
        let mut changed = call.clone();
        let limit = Limit::clone(&call.charges[0].limit);
        for limit in [
            Limit {
                amount: 2_000,
                ..limit.clone()
            },
            Limit {
                mode: Mode::Shadow,
                ..limit
            },
        ] {
            Arc::make_mut(&mut changed.charges)[0].limit = Arc::new(limit);
            assert_eq!(recalled(&denials, &changed, 10), None);
        }
        assert!(recalled(&denials, &call, 10).is_some());
    }

    #[test]
    fn what_is_given_back_makes_it_forget() {
        let denials = Denials::default();
        let call = reservation("acme", vec![charge("a", 1)], vec![charge("s", 1)]);
        remember(&denials, &call, refusal(0, 1, 500), UnixMillis(0));
        remember(&denials, &call, refusal(1, 1, 500), UnixMillis(0));
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

    /// The refusal is older than what was given back, though it arrives later.
    #[test]
    fn a_refusal_from_before_something_was_given_back_is_not_believed() {
        let denials = Denials::default();
        // Not of one epoch with the slot that is shared.
        let tenant = (0..)
            .map(|n| n.to_string())
            .find(|tenant| denials.place(tenant, EPOCHS) != denials.place(SHARED_SLOT, EPOCHS));
        let tenant = tenant.unwrap();
        let call = reservation(&tenant, vec![charge("a", 1)], vec![charge("s", 1)]);
        for (slot, refused, believed) in [
            (&*tenant, 0, false),
            (&tenant, 1, true),
            (SHARED_SLOT, 0, true),
            (SHARED_SLOT, 1, false),
        ] {
            let asked = denials.asks(&call);
            denials.forget(slot);
            denials.remember(&call, refusal(refused, 1, 500), asked, UnixMillis(0));
            let told = recalled(&denials, &call, 1).map(|(charge, _)| charge);
            assert_eq!(told, believed.then_some(refused), "{slot:?} {refused}");
            denials.forget(&tenant);
            denials.forget(SHARED_SLOT);
        }
        remember(&denials, &call, refusal(0, 1, 500), UnixMillis(0));
        assert!(recalled(&denials, &call, 1).is_some(), "the next one is");
    }

    #[test]
    fn all_is_forgotten_where_limits_change_with_what_was_asked_before() {
        let denials = Denials::default();
        let calls: Vec<Reservation> = (0..50)
            .map(|n| reservation(&n.to_string(), vec![charge("a", 1)], vec![charge("s", 1)]))
            .collect();
        for call in &calls {
            remember(&denials, call, refusal(0, 1, 500), UnixMillis(0));
            remember(&denials, call, refusal(1, 1, 500), UnixMillis(0));
        }
        let asked: Vec<Asked> = calls.iter().map(|call| denials.asks(call)).collect();
        denials.forget_all();
        for (call, asked) in calls.iter().zip(asked) {
            assert_eq!(recalled(&denials, call, 1), None);
            denials.remember(call, refusal(0, 1, 500), asked, UnixMillis(0));
            assert_eq!(recalled(&denials, call, 1), None, "an answer of before");
        }
        assert_eq!(denials.slots.load(Ordering::Relaxed), 0);
        remember(&denials, &calls[0], refusal(0, 1, 500), UnixMillis(0));
        assert!(recalled(&denials, &calls[0], 1).is_some());
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
            remember(&denials, &call, refusal, UnixMillis(0));
            assert_eq!(recalled(&denials, &call, 1), None);
        }
    }

    #[test]
    fn it_stays_small() {
        let denials = Denials::default();
        for n in 0..200_000 {
            let call = reservation("acme", vec![charge(&n.to_string(), 1)], Vec::new());
            remember(&denials, &call, refusal(0, 1, 500), UnixMillis(0));
        }
        let shard = denials.shard("acme");
        let held: usize = shard.slots.values().map(HashMap::len).sum();
        assert!(held <= SHARD_MAX);
        assert_eq!(held, shard.denials);
    }
}
