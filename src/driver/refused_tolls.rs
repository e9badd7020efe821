//! Which tolls a remote store refused a moment ago, so that a client that
//! hammers a rate limit costs no round trips.
//!
//! A toll is known again only if all of it is the same. Nothing of a toll is
//! ever given back, so what was refused stays refused until time passes; it is
//! asked anew within [`REMEMBERED_MAX`] all the same, as limits may change.

use super::denials::REMEMBERED_MAX;
use crate::limits::{Charge, Mode, Paid, Retry, Toll};
use crate::units::{Millis, UnixMillis};
use ahash::RandomState;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Shards, so that requests seldom meet on one lock.
const SHARDS: usize = 16;

/// The most charges that a shard remembers, in all its tolls; about 400 bytes
/// each, so that all shards together take 26 MB at most.
const SHARD_MAX: usize = 4_096;

/// Tolls that were refused.
#[derive(Default)]
pub(super) struct RefusedTolls {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    tolls: HashMap<u64, Refused>,
    /// In all tolls.
    charges: usize,
}

struct Refused {
    toll: Toll,
    paid: Paid,
    at: UnixMillis,
    believed_until: UnixMillis,
}

impl RefusedTolls {
    /// The answer that this toll would get, as far as is known.
    pub(super) fn recall(&self, toll: &Toll, now: UnixMillis) -> Option<Paid> {
        let hash = self.hash(toll);
        let shard = self.shard(hash);
        let refused = shard
            .tolls
            .get(&hash)
            .filter(|refused| refused.toll == *toll)?;
        if now >= refused.believed_until {
            return None;
        }
        let mut paid = refused.paid.clone();
        let since = now.since(refused.at);
        for told in &mut paid.told {
            let reset = &mut told.standing.reset_after;
            *reset = reset.map(|span| Millis(span.0.saturating_sub(since.0)));
            told.lacks = match told.lacks {
                Some(Retry::After(wait)) if wait <= since => None,
                Some(Retry::After(wait)) => Some(Retry::After(Millis(wait.0 - since.0))),
                lacks => lacks,
            };
        }
        Some(paid)
    }

    /// Remembers what the store answered.
    pub(super) fn remember(&self, toll: &Toll, paid: &Paid, now: UnixMillis) {
        let lacks = toll.charges.iter().zip(&paid.told);
        let waits = lacks
            .filter(|(charge, _)| charge.limit.mode == Mode::Enforce)
            .filter_map(|(_, told)| told.lacks)
            .map(|lacks| match lacks {
                Retry::After(wait) => wait,
                Retry::WhenOneEnds => Millis(0),
                Retry::Never => REMEMBERED_MAX,
            });
        let Some(wait) = waits.max() else {
            return;
        };
        let hash = self.hash(toll);
        let mut shard = self.shard(hash);
        if shard.charges.saturating_add(toll.charges.len()) > SHARD_MAX {
            // Whoever is still refused is soon known again.
            *shard = Shard::default();
        }
        let refused = Refused {
            toll: toll.clone(),
            paid: paid.clone(),
            at: now,
            believed_until: now + wait.min(REMEMBERED_MAX),
        };
        shard.charges += toll.charges.len();
        if let Some(before) = shard.tolls.insert(hash, refused) {
            shard.charges -= before.toll.charges.len();
        }
    }

    fn hash(&self, toll: &Toll) -> u64 {
        let charge = |charge: &Charge| (Arc::clone(&charge.counter), charge.amount);
        let charges: Vec<(Arc<str>, u64)> = toll.charges.iter().map(charge).collect();
        self.hasher.hash_one((&toll.slot, charges))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        let index = usize::try_from((hash >> 32) % shards).unwrap_or(0);
        // A panic while it was locked left it whole: each change is one call.
        self.shards[index]
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::toll::Told;
    use crate::limits::{Algorithm, Limit, Scope, Standing, Unit};

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn toll(counters: &[(&str, u64, Mode)]) -> Toll {
        let charges = counters.iter().map(|(counter, amount, mode)| {
            let limit = Limit {
                name: "l".into(),
                scope: Scope::GLOBAL,
                unit: Unit::Requests,
                amount: 1,
                algorithm: Algorithm::SlidingWindow {
                    every: Millis(60_000),
                },
                mode: *mode,
            };
            Charge::new(Arc::new(limit), *counter, *amount)
        });
        Toll {
            slot: "edge".into(),
            charges: charges.collect(),
        }
    }

    fn refused(lacks: &[Option<Retry>]) -> Paid {
        let told = lacks.iter().map(|lacks| Told {
            standing: Standing {
                used: 1,
                exceeded: false,
                remaining: 0,
                reset_after: Some(Millis(900)),
            },
            lacks: *lacks,
        });
        Paid {
            taken: false,
            told: told.collect(),
        }
    }

    fn lacks(paid: &Paid) -> Vec<Option<Retry>> {
        paid.told.iter().map(|told| told.lacks).collect()
    }

    const SOON: Option<Retry> = Some(Retry::After(Millis(500)));
    const LATE: Option<Retry> = Some(Retry::After(Millis(90_000)));

    #[test]
    fn the_same_toll_is_refused_again_with_what_is_left_of_its_wait() {
        let tolls = RefusedTolls::default();
        let both = toll(&[("a", 1, Mode::Enforce), ("b", 1, Mode::Enforce)]);
        tolls.remember(&both, &refused(&[SOON, LATE]), NOW);
        let paid = tolls.recall(&both, NOW + Millis(400)).unwrap();
        let left = |ms| Some(Retry::After(Millis(ms)));
        assert_eq!(lacks(&paid), [left(100), left(89_600)]);
        assert_eq!(paid.told[0].standing.reset_after, Some(Millis(500)));
        let paid = tolls.recall(&both, NOW + Millis(1_999)).unwrap();
        assert_eq!(lacks(&paid), [None, left(88_001)]);
        assert_eq!(paid.told[0].standing.reset_after, Some(Millis(0)));
        assert!(tolls.recall(&both, NOW + REMEMBERED_MAX).is_none());
    }

    #[test]
    fn another_toll_is_asked_about() {
        let tolls = RefusedTolls::default();
        let one = toll(&[("a", 1, Mode::Enforce)]);
        tolls.remember(&one, &refused(&[SOON]), NOW);
        assert!(tolls.recall(&one, NOW + Millis(499)).is_some());
        assert!(tolls.recall(&one, NOW + Millis(500)).is_none());
        for other in [
            toll(&[("a", 2, Mode::Enforce)]),
            toll(&[("b", 1, Mode::Enforce)]),
            toll(&[("a", 1, Mode::Shadow)]),
            toll(&[("a", 1, Mode::Enforce), ("b", 1, Mode::Enforce)]),
        ] {
            assert!(tolls.recall(&other, NOW).is_none(), "{other:?}");
        }
    }

    #[test]
    fn what_only_watches_refuses_nothing() {
        let tolls = RefusedTolls::default();
        let watched = toll(&[("a", 1, Mode::Shadow), ("b", 1, Mode::Enforce)]);
        tolls.remember(&watched, &refused(&[LATE, None]), NOW);
        assert!(tolls.recall(&watched, NOW).is_none());
        tolls.remember(&watched, &refused(&[LATE, SOON]), NOW);
        assert!(tolls.recall(&watched, NOW + Millis(499)).is_some());
        assert!(tolls.recall(&watched, NOW + Millis(500)).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let tolls = RefusedTolls::default();
        for n in 0..2 * SHARDS * SHARD_MAX {
            let name = n.to_string();
            let charges = [(name.as_str(), 1, Mode::Enforce); 3];
            let some = toll(&charges[..1 + n % 3]);
            tolls.remember(&some, &refused(&[LATE; 3][..1 + n % 3]), NOW);
        }
        for shard in &tolls.shards {
            let shard = shard.lock().unwrap();
            let tolls = shard.tolls.values();
            let charges: usize = tolls.map(|refused| refused.toll.charges.len()).sum();
            assert_eq!(charges, shard.charges);
            assert!(charges <= SHARD_MAX);
        }
    }
}
