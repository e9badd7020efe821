//! Counters in memory: for one sidecar, with nothing to install.
//!
//! All counters and holds of a slot are in one shard behind one lock, so a
//! reservation is atomic; the lock is held for that and never across an await.
//! Time is the caller's.
//!
//! Memory is bounded: counters back at rest are dropped as others are used,
//! ended holds are remembered for a while and at most so many of them. What is
//! left grows only with what is charged and open, or expired and not told of.

mod cells;
mod claims;
mod shard;
mod slot;

use super::{CounterError, ExpiredHold};
use crate::limits::{
    Actual, Charge, Decision, HoldId, Paid, Reservation, Settled, Standing, Toll, counter, toll,
};
use crate::units::{Millis, UnixMillis};
use ahash::RandomState;
use shard::Shard;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Keyed at random: names in it may be a client's.
type Map<K, V> = hashbrown::HashMap<K, V, RandomState>;

/// Shards, so that calls seldom meet on one lock.
const SHARDS: usize = 64;

/// Counters in memory.
pub struct Memory {
    shards: Vec<Mutex<Shard>>,
    /// Keyed at random, so that no one can choose their shard.
    hasher: RandomState,
    /// Where the next look for expired holds begins.
    turn: AtomicUsize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            turn: AtomicUsize::new(0),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    pub fn reserve(
        &self,
        reservation: &Reservation,
        now: UnixMillis,
    ) -> Result<Decision, CounterError> {
        let rules = counter::rules(reservation)?;
        Ok(self
            .shard(&reservation.slot)
            .reserve(reservation, &rules, now))
    }

    /// How counters of a slot stand; takes nothing.
    pub fn look(
        &self,
        slot: &str,
        looks: &[Charge],
        now: UnixMillis,
    ) -> Result<Vec<Standing>, CounterError> {
        let rules = counter::rules_of_looks(looks)?;
        Ok(self.shard(slot).look(slot, looks, &rules, now))
    }

    /// What is used of a counter under the parameters that it is kept with: those
    /// of the last charge, whatever became of its limit since.
    pub fn used(&self, slot: &str, look: &Charge, now: UnixMillis) -> u64 {
        let Ok(rules) = counter::rules_of_looks(std::slice::from_ref(look)) else {
            return 0;
        };
        let rule = rules.first();
        rule.map_or(0, |rule| self.shard(slot).used(slot, look, *rule, now))
    }

    /// What open holds took from each counter.
    pub fn held(&self, slot: &str, looks: &[Charge]) -> Vec<u64> {
        let mut held = vec![0; looks.len()];
        let places = places(looks);
        self.shard(slot).held(slot, &places, &mut held);
        held
    }

    /// Puts counters at rest, but not leases.
    pub fn reset(&self, slot: &str, looks: &[Charge]) {
        let places = places(looks);
        self.shard(slot).reset(slot, looks, &places);
    }

    pub fn charge(&self, toll: &Toll, now: UnixMillis) -> Result<Paid, CounterError> {
        let rules = toll::rules(toll)?;
        Ok(self.shard(&toll.slot).charge(toll, &rules, now))
    }

    pub fn settle(&self, slot: &str, hold: HoldId, actual: Actual, now: UnixMillis) -> Settled {
        self.shard(slot).settle(hold, actual, now)
    }

    pub fn renew(
        &self,
        slot: &str,
        hold: HoldId,
        hold_ttl: Millis,
        lease_ttl: Millis,
        now: UnixMillis,
    ) -> bool {
        let hold_ttl = hold_ttl.min(counter::HOLD_TTL_MAX);
        let lease_ttl = lease_ttl.min(counter::HOLD_TTL_MAX);
        self.shard(slot)
            .renew(hold, now + hold_ttl, now + lease_ttl, now)
    }

    pub fn expire_due(&self, now: UnixMillis, max: usize, claim: Millis) -> Vec<ExpiredHold> {
        let until = now + claim.min(counter::HOLD_TTL_MAX);
        let mut expired = Vec::new();
        // Another shard first each time, so that none starves the others.
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % SHARDS;
        for shard in self.shards.iter().cycle().skip(first).take(SHARDS) {
            lock(shard).expire_due(now, max, until, &mut expired);
        }
        expired
    }

    pub fn told(&self, holds: &[ExpiredHold]) {
        for told in holds {
            self.shard(&told.slot).told(told.hold);
        }
    }

    pub fn open_holds(&self) -> u64 {
        let open = self.shards.iter().map(|shard| lock(shard).open_holds());
        u64::try_from(open.sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// Takes an open hold out as if it had never been, but for what it charged:
    /// its leases are given back, and the same hold may be taken again.
    pub fn drop_hold(&self, slot: &str, hold: HoldId) {
        self.shard(slot).drop_hold(hold);
    }

    /// Puts all counters of a slot at rest. Its holds stay open.
    pub fn forget(&self, slot: &str) {
        self.shard(slot).forget_slot(slot);
    }

    /// How many counters are not known to be at rest.
    pub fn counters(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).counters()).sum()
    }

    fn shard(&self, slot: &str) -> MutexGuard<'_, Shard> {
        let shards = u64::try_from(self.shards.len()).unwrap_or(1);
        let index = usize::try_from(self.hasher.hash_one(slot) % shards).unwrap_or(0);
        lock(&self.shards[index])
    }
}

/// Nothing that runs under the lock panics; were it to, what is counted is
/// still the best there is.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Where each counter is among these; made before a shard is locked.
fn places(looks: &[Charge]) -> Map<&str, usize> {
    let counters = looks.iter().enumerate();
    counters
        .map(|(place, look)| (&*look.counter, place))
        .collect()
}

#[cfg(test)]
mod tests;
