//! What a remote store last said of each counter, for when it can't be asked.
//!
//! A table of a fixed size, without names: the newer of two counters that meet
//! in one place stays. What isn't known is taken for unused.

use crate::limits::{Charge, Standing};
use crate::units::{Millis, UnixMillis};
use ahash::RandomState;
use std::sync::{Mutex, MutexGuard};

/// Shards, so that calls seldom meet on one lock.
const SHARDS: usize = 16;

/// Counters that a shard has room for; 32 bytes each.
const PLACES: usize = 8_192;

/// What was last said of counters.
pub(super) struct Known {
    shards: Vec<Mutex<Vec<Seen>>>,
    hasher: RandomState,
}

/// A counter as it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// Of the counter's name; 0: nothing.
    hash: u64,
    pub used: u64,
    pub at: UnixMillis,
    /// At rest from then on.
    until: UnixMillis,
}

impl Known {
    /// With room where a store is remote, without any where none is needed.
    pub(super) fn new(needed: bool) -> Self {
        let shards = if needed { SHARDS } else { 0 };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The store said this of a slot's counters.
    pub(super) fn learn<'s>(
        &self,
        slot: &str,
        charges: &[Charge],
        standings: impl Iterator<Item = &'s Standing>,
        now: UnixMillis,
    ) {
        for (charge, standing) in charges.iter().zip(standings) {
            let hash = self.hash(slot, &charge.counter);
            let Some(mut shard) = self.shard(hash) else {
                return;
            };
            if shard.is_empty() {
                shard.resize(PLACES, Seen::default());
            }
            if let Some(place) = shard.get_mut(place(hash)) {
                *place = Seen {
                    hash,
                    used: standing.used,
                    at: now,
                    until: now + standing.reset_after.unwrap_or(Millis(0)),
                };
            }
        }
    }

    /// What is known to be used of a counter still.
    pub(super) fn recall(&self, slot: &str, counter: &str, now: UnixMillis) -> Option<Seen> {
        let hash = self.hash(slot, counter);
        let seen = *self.shard(hash)?.get(place(hash))?;
        (seen.hash == hash && seen.used > 0 && now < seen.until).then_some(seen)
    }

    fn hash(&self, slot: &str, counter: &str) -> u64 {
        self.hasher.hash_one((slot, counter)).max(1)
    }

    /// A slot's counters are spread over all shards: a domain of the rate limit
    /// service is one slot.
    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, Vec<Seen>>> {
        let shards = u64::try_from(self.shards.len()).unwrap_or(0);
        let index = (hash >> 32).checked_rem(shards)?;
        let shard = self.shards.get(usize::try_from(index).ok()?)?;
        // A panic while it was locked left whole entries.
        Some(
            shard
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }
}

fn place(hash: u64) -> usize {
    let places = u64::try_from(PLACES).unwrap_or(1);
    usize::try_from(hash % places).unwrap_or(0)
}
