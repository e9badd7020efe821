//! What a remote store last said of each counter, and how much of that this
//! sidecar used, for when it can't be asked.
//!
//! What a sidecar used itself it knows, whatever it knows of others: as none
//! gives out less than that of its share, sidecars of which each kept to its
//! share together stay within the limit.
//!
//! A table of a fixed size, without names: the newer of two counters that meet
//! in one place stays. What isn't known is taken for unused.
//!
//! An answer that was on its way while something was given back still counts
//! that, until the counter's next answer: more than is used, so that a share
//! that begins with it gives out less. Not to believe it would make it give out
//! more, where it is all that is known.

use crate::limits::share::used_share;
use crate::limits::{Actual, Algorithm, Charge, Refusal, Reservation, Retry, Standing};
use crate::units::{Millis, UnixMillis};
use ahash::RandomState;
use std::sync::{Mutex, MutexGuard};

/// Shards, so that calls seldom meet on one lock.
const SHARDS: usize = 16;

/// Counters that a shard has room for; 48 bytes each.
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
    /// About what of it this sidecar used.
    own: u64,
    pub at: UnixMillis,
    /// At rest from then on.
    until: UnixMillis,
    /// What is used goes little by little, not at once in the end.
    fades: bool,
    /// What calls took that began before this was forgotten.
    since: UnixMillis,
}

impl Seen {
    /// What a share of the limit begins with, for one of so many sidecars.
    pub(super) fn begins_with(&self, sidecars: u64) -> u64 {
        used_share(self.used, sidecars).max(self.own)
    }

    /// Whether what was charged then counts still: a refund to a window that is
    /// over goes nowhere.
    fn counts(&self, charge: &Charge, made_at: UnixMillis, now: UnixMillis) -> bool {
        let Some(window) = charge.limit.window() else {
            return true;
        };
        let ends = made_at + window;
        match self.fades {
            true => now < ends,
            false => self.until <= ends,
        }
    }

    /// What of its own use still counts, as far as that can be told.
    fn own_at(&self, now: UnixMillis) -> u64 {
        if now >= self.until {
            return 0;
        }
        if !self.fades {
            return self.own;
        }
        let (left, whole) = (self.until.since(now).0, self.until.since(self.at).0.max(1));
        let own = u128::from(self.own) * u128::from(left.min(whole)) / u128::from(whole);
        u64::try_from(own).unwrap_or(u64::MAX)
    }
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

    /// The store said this of a slot's counters, after it took the charges or
    /// refused them.
    pub(super) fn learn<'s>(
        &self,
        slot: &str,
        charges: &[Charge],
        standings: impl Iterator<Item = &'s Standing>,
        taken: bool,
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
                let (before, since) = match place.hash == hash {
                    true => (place.own_at(now), place.since),
                    false => (0, UnixMillis(0)),
                };
                let took = if taken { charge.amount } else { 0 };
                *place = Seen {
                    hash,
                    used: standing.used,
                    own: before.saturating_add(took).min(standing.used),
                    at: now,
                    until: now + standing.reset_after.unwrap_or(Millis(0)),
                    fades: !matches!(charge.limit.algorithm, Algorithm::FixedWindow { .. }),
                    since,
                };
            }
        }
    }

    /// The store refused a charge: what that says of its counter.
    pub(super) fn refused(&self, slot: &str, charge: &Charge, refusal: &Refusal, now: UnixMillis) {
        let limit = &charge.limit;
        let reset_after = match (&limit.algorithm, refusal.retry) {
            // There is room again when the window ends.
            (Algorithm::FixedWindow { .. }, Retry::After(wait)) => {
                refusal.reset_after.unwrap_or(wait)
            }
            (Algorithm::FixedWindow { .. }, _) | (Algorithm::Concurrency, _) => return,
            // The last sub-window counts for a while longer.
            (Algorithm::SlidingWindow { every }, _) => Millis(every.0 + every.0 / 12 + 1),
            (Algorithm::TokenBucket { every, .. } | Algorithm::LeakyBucket { every, .. }, _) => {
                let fills = u128::from(refusal.used) * u128::from(every.0);
                let fills = fills.div_ceil(u128::from(limit.amount.max(1)));
                Millis(u64::try_from(fills).unwrap_or(every.0))
            }
        };
        let standing = Standing {
            used: refusal.used,
            exceeded: false,
            remaining: refusal.remaining,
            carried: 0,
            reset_after: Some(reset_after),
        };
        let charges = std::slice::from_ref(charge);
        self.learn(slot, charges, std::iter::once(&standing), false, now);
    }

    /// A call is over, and used this of what it took.
    pub(super) fn settled(&self, call: &Reservation, actual: Actual, now: UnixMillis) {
        let made_at = call.hold.made_at();
        for charge in &*call.charges {
            let hash = self.hash(&call.slot, &charge.counter);
            let Some(mut shard) = self.shard(hash) else {
                return;
            };
            let seen = shard.get_mut(place(hash)).filter(|seen| seen.hash == hash);
            if let Some(seen) = seen
                && seen.counts(charge, made_at, now)
            {
                let used = actual.of(charge.limit.unit);
                let held = match made_at < seen.since {
                    true => 0,
                    false => charge.amount,
                };
                for sum in [&mut seen.used, &mut seen.own] {
                    *sum = sum.saturating_add(used).saturating_sub(held);
                }
            }
        }
    }

    /// The store has put a counter at rest: nothing of it is used, and what calls
    /// took until now is not given back.
    pub(super) fn reset(&self, slot: &str, counter: &str, now: UnixMillis) {
        let hash = self.hash(slot, counter);
        let Some(mut shard) = self.shard(hash) else {
            return;
        };
        let seen = shard.get_mut(place(hash)).filter(|seen| seen.hash == hash);
        if let Some(seen) = seen {
            *seen = Seen {
                hash,
                since: now,
                ..Seen::default()
            };
        }
    }

    /// What is known to be used of a counter still.
    pub(super) fn recall(&self, slot: &str, counter: &str, now: UnixMillis) -> Option<Seen> {
        let hash = self.hash(slot, counter);
        let mut seen = *self.shard(hash)?.get(place(hash))?;
        seen.own = seen.own_at(now);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::period::Period;
    use crate::limits::{HoldId, Limit, Mode, Scope, Unit};
    use std::sync::Arc;

    const NOW: UnixMillis = UnixMillis(1_000_000_000);
    const HOUR: Millis = Millis(3_600_000);

    fn window() -> Algorithm {
        let period = Arc::new(Period::aligned(HOUR));
        Algorithm::FixedWindow {
            period,
            rollover: None,
        }
    }

    fn charge(algorithm: Algorithm, amount: u64) -> Charge {
        let limit = Limit {
            name: "tpm".into(),
            scope: Scope::TENANT,
            unit: Unit::Tokens,
            amount: 1_000,
            algorithm,
            mode: Mode::Enforce,
        };
        Charge::new(Arc::new(limit), "c", amount)
    }

    fn learn(known: &Known, charge: Charge, used: u64, taken: bool, now: UnixMillis) {
        let standing = Standing {
            used,
            exceeded: false,
            remaining: 0,
            carried: 0,
            reset_after: Some(Millis(1_000)),
        };
        let charges = [charge];
        known.learn("acme", &charges, [standing].iter(), taken, now);
    }

    /// With what one of two, and one of ten sidecars begins.
    fn begin(known: &Known, now: UnixMillis) -> Option<(u64, u64)> {
        let seen = known.recall("acme", "c", now)?;
        Some((seen.begins_with(2), seen.begins_with(10)))
    }

    #[test]
    fn a_share_begins_with_its_part_and_no_less_than_its_own() {
        let known = Known::new(true);
        assert_eq!(begin(&known, NOW), None);
        learn(&known, charge(window(), 10), 100, true, NOW);
        assert_eq!(begin(&known, NOW), Some((50, 10)));
        learn(&known, charge(window(), 60), 200, true, NOW);
        assert_eq!(begin(&known, NOW), Some((100, 70)));
        // What was refused was not used; what others gave back isn't own.
        learn(&known, charge(window(), 60), 200, false, NOW);
        assert_eq!(begin(&known, NOW), Some((100, 70)));
        learn(&known, charge(window(), 0), 50, true, NOW);
        assert_eq!(begin(&known, NOW), Some((50, 50)));
        assert_eq!(
            begin(&known, NOW + Millis(1_000)),
            None,
            "its window is over"
        );
    }

    #[test]
    fn a_window_that_is_over_takes_its_own_use_with_it() {
        let known = Known::new(true);
        learn(&known, charge(window(), 60), 60, true, NOW);
        let later = NOW + Millis(1_500);
        learn(&known, charge(window(), 1), 40, true, later);
        assert_eq!(begin(&known, later), Some((20, 4)));
    }

    #[test]
    fn what_fades_fades_in_the_known_time() {
        let known = Known::new(true);
        let bucket = Algorithm::TokenBucket {
            every: HOUR,
            burst: 1_000,
        };
        learn(&known, charge(bucket.clone(), 80), 80, true, NOW);
        assert_eq!(begin(&known, NOW + Millis(250)), Some((60, 60)));
        learn(&known, charge(bucket, 10), 90, true, NOW + Millis(500));
        assert_eq!(begin(&known, NOW + Millis(500)), Some((50, 50)));
        let window = charge(window(), 80);
        learn(&known, window, 80, true, NOW + Millis(5_000));
        assert_eq!(begin(&known, NOW + Millis(5_900)), Some((80, 80)));
    }

    /// Others have used it up: a sidecar that was refused gives out nothing.
    #[test]
    fn a_refusal_tells_what_is_used() {
        let bucket = Algorithm::TokenBucket {
            every: HOUR,
            burst: 1_000,
        };
        let sliding = Algorithm::SlidingWindow { every: HOUR };
        let wait = Millis(60_000);
        for (algorithm, until) in [
            (window(), wait.0),
            (sliding, HOUR.0 + HOUR.0 / 12),
            (bucket, HOUR.0 * 9 / 10),
        ] {
            let (known, charge) = (Known::new(true), charge(algorithm, 200));
            let refusal = Refusal {
                charge: 0,
                used: 900,
                requested: 200,
                remaining: 100,
                reset_after: Some(wait),
                retry: Retry::After(wait),
            };
            known.refused("acme", &charge, &refusal, NOW);
            assert_eq!(begin(&known, NOW), Some((450, 90)));
            assert!(begin(&known, NOW + Millis(until - 1)).is_some());
            assert!(begin(&known, NOW + Millis(until + 1)).is_none());
        }
        let (known, slots) = (Known::new(true), charge(Algorithm::Concurrency, 1));
        let refusal = Refusal {
            charge: 0,
            used: 9,
            requested: 1,
            remaining: 0,
            reset_after: None,
            retry: Retry::WhenOneEnds,
        };
        known.refused("acme", &slots, &refusal, NOW);
        assert_eq!(begin(&known, NOW), None, "slots are known by their calls");
    }

    fn call(amount: u64) -> Reservation {
        Reservation {
            hold: HoldId::new(NOW, &[1; 10]),
            slot: "acme".into(),
            charges: vec![charge(window(), amount)].into(),
            shared: Arc::default(),
            hold_ttl: HOUR,
            lease_ttl: HOUR,
            context: "".into(),
        }
    }

    #[test]
    fn what_a_call_gave_back_is_not_used() {
        let known = Known::new(true);
        learn(&known, charge(window(), 500), 600, true, NOW);
        let mut call = call(500);
        known.settled(&call, Actual::only(Unit::Tokens, 30), NOW);
        assert_eq!(begin(&known, NOW), Some((65, 30)));
        // One of an hour ago gives nothing back to this one.
        call.hold = HoldId::new(UnixMillis(NOW.0 - HOUR.0), &[2; 10]);
        known.settled(&call, Actual::VOID, NOW);
        assert_eq!(begin(&known, NOW), Some((65, 30)));
    }

    #[test]
    fn of_a_counter_that_was_reset_nothing_is_used() {
        let known = Known::new(true);
        let took = |taken| learn(&known, charge(window(), 500), 600, taken, NOW);
        took(true);
        known.reset("acme", "other", NOW);
        known.reset("other", "c", NOW);
        assert_eq!(begin(&known, NOW), Some((500, 500)));
        known.reset("acme", "c", NOW + Millis(1));
        assert_eq!(begin(&known, NOW + Millis(1)), None);
        // What the call in flight held is forgotten; what it uses is charged.
        let now = NOW + Millis(2);
        learn(&known, charge(window(), 40), 40, true, now);
        let mut call = call(500);
        known.settled(&call, Actual::only(Unit::Tokens, 30), now);
        assert_eq!(begin(&known, now), Some((70, 70)));
        call.hold = HoldId::new(now, &[2; 10]);
        call.charges = vec![charge(window(), 40)].into();
        known.settled(&call, Actual::only(Unit::Tokens, 10), now);
        assert_eq!(begin(&known, now), Some((40, 40)));
    }

    #[test]
    fn without_need_it_keeps_nothing() {
        let known = Known::new(false);
        learn(&known, charge(window(), 5), 5, true, NOW);
        assert_eq!(begin(&known, NOW), None);
    }
}
