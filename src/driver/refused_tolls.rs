//! Which charges of tolls a remote store refused a moment ago, so that a client
//! that hammers a rate limit costs no round trips.
//!
//! Remembered by charge: a toll is refused again if one of its charges is known
//! to be, whatever else it charges, so that varying a descriptor (a path, a
//! request's id) doesn't get past it. Of its other charges nothing is told then.
//! A charge that wants more than the one that was refused is refused too, as far
//! as `limits` can tell; a smaller one, or one by another limit, is asked about.
//!
//! Nothing of a toll is ever given back, so what was refused stays refused until
//! time passes; it is asked anew within [`REMEMBERED_MAX`] all the same, as
//! limits may change.

use super::denials::REMEMBERED_MAX;
use crate::limits::{Charge, Fate, Limit, Mode, Paid, Retry, Standing, Told, Toll};
use crate::units::{Millis, UnixMillis};
use ahash::RandomState;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shards, so that requests seldom meet on one lock.
const SHARDS: usize = 16;

/// The most charges that a shard remembers; about 400 bytes each, so that all
/// shards together take 26 MB at most.
const SHARD_MAX: usize = 4_096;

/// Charges that were refused.
#[derive(Default)]
pub(super) struct RefusedTolls {
    /// By the hash of slot and counter.
    shards: [Mutex<HashMap<u64, Refused>>; SHARDS],
    /// Nothing is believed for longer than this, in Unix milliseconds: most of
    /// the time nobody need look.
    until: AtomicU64,
    hasher: RandomState,
}

struct Refused {
    slot: Arc<str>,
    counter: Arc<str>,
    /// Which refused.
    limit: Arc<Limit>,
    wanted: u64,
    retry: Retry,
    standing: Standing,
    at: UnixMillis,
}

impl Refused {
    /// What would be told of this charge now, if it would surely be refused.
    fn recall(&self, slot: &str, charge: &Charge, now: UnixMillis) -> Option<Told> {
        let same =
            *self.slot == *slot && self.counter == charge.counter && self.limit == charge.limit;
        if !same {
            return None;
        }
        let wanted = charge.wanted();
        let retry = self
            .limit
            .retry_of_larger(self.wanted, self.retry, wanted)?;
        let since = now.since(self.at);
        if since >= believed_for(retry) {
            return None;
        }
        let left = |span: Millis| Millis(span.0.saturating_sub(since.0));
        Some(Told {
            standing: Standing {
                carried: 0,
                reset_after: self.standing.reset_after.map(left),
                ..self.standing
            },
            lacks: Some(match retry {
                Retry::After(wait) => Retry::After(left(wait)),
                other => other,
            }),
        })
    }
}

fn believed_for(retry: Retry) -> Millis {
    match retry {
        Retry::After(wait) => wait.min(REMEMBERED_MAX),
        Retry::WhenOneEnds => Millis(0),
        Retry::Never => REMEMBERED_MAX,
    }
}

impl RefusedTolls {
    /// That this toll would be refused, as far as is known.
    pub(super) fn recall(&self, toll: &Toll, now: UnixMillis) -> Option<Fate> {
        if now.0 >= self.until.load(Ordering::Relaxed) {
            return None;
        }
        let each = toll.charges.iter();
        let told: Vec<Option<Told>> = each
            .map(|charge| {
                if charge.limit.mode == Mode::Shadow {
                    return None;
                }
                let hash = self.hash(&toll.slot, &charge.counter);
                let shard = self.shard(hash);
                shard.get(&hash)?.recall(&toll.slot, charge, now)
            })
            .collect();
        let refused = told.iter().any(Option::is_some);
        refused.then_some(Fate { taken: false, told })
    }

    /// Remembers what the store answered.
    pub(super) fn remember(&self, toll: &Toll, paid: &Paid, now: UnixMillis) {
        for (charge, told) in toll.charges.iter().zip(&paid.told) {
            let Some(retry) = told.lacks else {
                continue;
            };
            if charge.limit.mode == Mode::Shadow || believed_for(retry).0 == 0 {
                continue;
            }
            let hash = self.hash(&toll.slot, &charge.counter);
            let mut shard = self.shard(hash);
            if shard.len() >= SHARD_MAX {
                // Whoever is still refused is soon known again.
                shard.clear();
            }
            let refused = Refused {
                slot: Arc::clone(&toll.slot),
                counter: Arc::clone(&charge.counter),
                limit: Arc::clone(&charge.limit),
                wanted: charge.wanted(),
                retry,
                standing: told.standing,
                at: now,
            };
            shard.insert(hash, refused);
            drop(shard);
            // A larger charge may be believed to be refused for longer.
            let until = (now + REMEMBERED_MAX).0;
            self.until.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// Limits may have changed: whoever was refused is asked about anew.
    pub(super) fn forget_all(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.clear();
        }
    }

    fn hash(&self, slot: &str, counter: &str) -> u64 {
        self.hasher.hash_one((slot, counter))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, HashMap<u64, Refused>> {
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
    use crate::limits::period::Period;
    use crate::limits::{Algorithm, Scope, Unit};

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn limit(mode: Mode) -> Limit {
        Limit {
            name: "l".into(),
            scope: Scope::GLOBAL,
            unit: Unit::Requests,
            amount: 10,
            algorithm: Algorithm::FixedWindow {
                period: Arc::new(Period::aligned(Millis(60_000))),
                rollover: None,
            },
            mode,
        }
    }

    fn toll(counters: &[(&str, u64, Mode)]) -> Toll {
        let charges = counters
            .iter()
            .map(|(counter, amount, mode)| Charge::new(Arc::new(limit(*mode)), *counter, *amount));
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
                carried: 0,
                reset_after: Some(Millis(900)),
            },
            lacks: *lacks,
        });
        Paid {
            taken: false,
            told: told.collect(),
        }
    }

    fn lacks(fate: &Fate) -> Vec<Option<Retry>> {
        assert!(!fate.taken);
        let told = fate.told.iter();
        told.map(|told| told.and_then(|told| told.lacks)).collect()
    }

    const SOON: Option<Retry> = Some(Retry::After(Millis(500)));
    const LATE: Option<Retry> = Some(Retry::After(Millis(90_000)));

    fn left(ms: u64) -> Option<Retry> {
        Some(Retry::After(Millis(ms)))
    }

    #[test]
    fn the_same_toll_is_refused_again_with_what_is_left_of_its_wait() {
        let tolls = RefusedTolls::default();
        let both = toll(&[("a", 1, Mode::Enforce), ("b", 1, Mode::Enforce)]);
        tolls.remember(&both, &refused(&[SOON, LATE]), NOW);
        let fate = tolls.recall(&both, NOW + Millis(400)).unwrap();
        assert_eq!(lacks(&fate), [left(100), left(89_600)]);
        let reset = |fate: &Fate, index: usize| fate.told[index].unwrap().standing.reset_after;
        assert_eq!(reset(&fate, 0), Some(Millis(500)));
        let fate = tolls.recall(&both, NOW + Millis(1_999)).unwrap();
        assert_eq!(lacks(&fate), [None, left(88_001)]);
        assert_eq!(reset(&fate, 1), Some(Millis(0)));
        assert!(tolls.recall(&both, NOW + REMEMBERED_MAX).is_none());
        tolls.forget_all();
        assert!(tolls.recall(&both, NOW + Millis(400)).is_none());
    }

    /// What a client does that varies its path.
    #[test]
    fn a_toll_that_varies_in_another_charge_is_refused_by_the_one_that_is_known() {
        let tolls = RefusedTolls::default();
        let of = |path: &str| toll(&[("user", 1, Mode::Enforce), (path, 1, Mode::Enforce)]);
        tolls.remember(&of("/1"), &refused(&[LATE, None]), NOW);
        for path in ["/1", "/2", "/3"] {
            let fate = tolls.recall(&of(path), NOW + Millis(100)).unwrap();
            assert_eq!(lacks(&fate), [left(89_900), None]);
            assert_eq!(fate.told[1], None, "nobody asked");
        }
        let alone = toll(&[("/1", 1, Mode::Enforce)]);
        assert!(tolls.recall(&alone, NOW).is_none(), "it refused nothing");
        let mut elsewhere = of("/1");
        elsewhere.slot = "other".into();
        assert!(tolls.recall(&elsewhere, NOW).is_none());
    }

    #[test]
    fn what_is_not_surely_refused_is_asked_about() {
        let tolls = RefusedTolls::default();
        let two = toll(&[("a", 2, Mode::Enforce)]);
        tolls.remember(&two, &refused(&[SOON]), NOW);
        let larger = toll(&[("a", 10, Mode::Enforce)]);
        for toll in [&two, &larger] {
            let fate = tolls.recall(toll, NOW + Millis(499)).unwrap();
            assert_eq!(lacks(&fate), [left(1)]);
            assert!(tolls.recall(toll, NOW + Millis(500)).is_none());
        }
        let mut changed = two.clone();
        changed.charges[0].limit = Arc::new(Limit {
            amount: 11,
            ..limit(Mode::Enforce)
        });
        for other in [
            toll(&[("a", 1, Mode::Enforce)]),
            toll(&[("a", 11, Mode::Enforce)]),
            toll(&[("b", 2, Mode::Enforce)]),
            toll(&[("a", 2, Mode::Shadow)]),
            changed,
        ] {
            assert!(tolls.recall(&other, NOW).is_none(), "{other:?}");
        }
    }

    #[test]
    fn what_never_fits_is_refused_for_as_long_as_it_is_believed() {
        let tolls = RefusedTolls::default();
        let eleven = toll(&[("a", 11, Mode::Enforce)]);
        tolls.remember(&eleven, &refused(&[Some(Retry::Never)]), NOW);
        let twelve = toll(&[("a", 12, Mode::Enforce)]);
        for toll in [&eleven, &twelve] {
            let fate = tolls.recall(toll, NOW + Millis(1_999)).unwrap();
            assert_eq!(lacks(&fate), [Some(Retry::Never)]);
            assert!(tolls.recall(toll, NOW + REMEMBERED_MAX).is_none());
        }
        assert!(
            tolls
                .recall(&toll(&[("a", 10, Mode::Enforce)]), NOW)
                .is_none()
        );
    }

    #[test]
    fn what_only_watches_refuses_nothing() {
        let tolls = RefusedTolls::default();
        let watched = toll(&[("a", 1, Mode::Shadow), ("b", 1, Mode::Enforce)]);
        tolls.remember(&watched, &refused(&[LATE, None]), NOW);
        assert!(tolls.recall(&watched, NOW).is_none());
        tolls.remember(&watched, &refused(&[LATE, SOON]), NOW);
        let fate = tolls.recall(&watched, NOW + Millis(499)).unwrap();
        assert_eq!(lacks(&fate), [None, left(1)]);
        assert!(tolls.recall(&watched, NOW + Millis(500)).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let tolls = RefusedTolls::default();
        for n in 0..2 * SHARDS * SHARD_MAX {
            let some = toll(&[(&n.to_string(), 1, Mode::Enforce)]);
            tolls.remember(&some, &refused(&[LATE]), NOW);
        }
        for shard in &tolls.shards {
            assert!(shard.lock().unwrap().len() <= SHARD_MAX);
        }
    }
}
