//! What is behind one lock: some slots' counters, and their holds.

use super::Map;
use super::cells::Name;
use super::claims::Claims;
use super::slot::{Slot, Taken};
use crate::counters::{ENDED_KEPT, ExpiredHold};
use crate::limits::counter::{Counter, Rule, judge, standings};
use crate::limits::{
    Actual, CHARGES_MAX, Charge, Decision, HoldId, Paid, Reservation, Settled, Standing, Toll, toll,
};
use crate::units::{Millis, UnixMillis};
use ahash::RandomState;
use hashbrown::hash_map::{Entry, EntryRef};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Ended holds that a shard remembers. A message inside one process is late by
/// milliseconds; this many calls take longer than that.
const ENDED_MAX: usize = 8_192;

/// How often a slot is looked through for counters at rest, at most.
const SWEEP_EVERY: Millis = Millis::from_secs(60);

/// Slots swept with each reservation. More than the one that it may add.
const SWEPT_WITH_A_CALL: usize = 2;

/// Slots of a shard swept by the upkeep at a time, or parts of large ones.
const SWEPT_BY_UPKEEP: usize = 256;

/// Counters after which a sweep ends: a fraction of a millisecond.
const SWEPT_COUNTERS: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Shard {
    slots: Map<Arc<str>, Slot>,
    /// Of counters' names.
    hasher: RandomState,
    /// Every slot once, the longest unswept first.
    to_sweep: VecDeque<(UnixMillis, Arc<str>)>,
    holds: Map<HoldId, Hold>,
    by_expiry: BTreeSet<(UnixMillis, HoldId)>,
    claims: Claims,
    /// What a settlement of these is answered.
    ended: Map<HoldId, Settled>,
    /// The same holds, the longest ended first.
    ended_at: VecDeque<(UnixMillis, HoldId)>,
}

#[derive(Debug)]
struct Hold {
    slot: Arc<str>,
    expiry: UnixMillis,
    taken: Vec<Taken>,
    context: Arc<str>,
}

impl Shard {
    pub(super) fn reserve(
        &mut self,
        reservation: &Reservation,
        rules: &[Rule],
        now: UnixMillis,
    ) -> Decision {
        self.forget(now);
        self.sweep(now, SWEPT_WITH_A_CALL);
        let hold = reservation.hold;
        if self.ended.contains_key(&hold) {
            return Decision::Ended;
        }
        let charges = &reservation.charges;
        let hashes = Hashes::of(&self.hasher, charges);
        let slot = slot(&mut self.slots, &mut self.to_sweep, &reservation.slot, now);
        let mut counters = read(slot, hashes.names(charges), rules, now);
        if !self.holds.contains_key(&hold) {
            if let Some(refusal) = judge(charges, &counters, now) {
                slot.adopt(&self.hasher, hashes.names(charges), &counters, now);
                return Decision::Refused(refusal, standings(&counters, now));
            }
            let lease = (hold, now + reservation.lease_ttl);
            let taken = charges.iter().zip(hashes.names(charges));
            let taken = taken.zip(&mut counters);
            let taken =
                taken.map(|(charge, counter)| slot.take(&self.hasher, charge, counter, lease));
            let open = Hold {
                slot: Arc::clone(&reservation.slot),
                expiry: now + reservation.hold_ttl,
                taken: taken.collect(),
                context: Arc::clone(&reservation.context),
            };
            self.by_expiry.insert((open.expiry, hold));
            self.holds.insert(hold, open);
        }
        Decision::Admitted(standings(&counters, now))
    }

    pub(super) fn look(
        &mut self,
        slot: &str,
        looks: &[Charge],
        rules: &[Rule],
        now: UnixMillis,
    ) -> Vec<Standing> {
        let hasher = &self.hasher;
        let names = looks.iter().map(|look| Name::new(hasher, &look.counter));
        let counters = match self.slots.get_mut(slot) {
            Some(slot) => read(slot, names, rules, now),
            None => read(&mut Slot::default(), names, rules, now),
        };
        standings(&counters, now)
    }

    pub(super) fn used(&self, slot: &str, look: &Charge, rule: Rule, now: UnixMillis) -> u64 {
        let Some(slot) = self.slots.get(slot) else {
            return 0;
        };
        let name = Name::new(&self.hasher, &look.counter);
        let counter = slot.read(slot.kept_by(rule, name), name, now);
        counter.standing(now).used
    }

    /// Looks through all holds of the shard. `places` is where each counter's
    /// sum goes, `held`.
    pub(super) fn held(&self, slot: &str, places: &Map<&str, usize>, held: &mut [u64]) {
        let holds = self.holds.values().filter(|hold| *hold.slot == *slot);
        for taken in holds.flat_map(|hold| &hold.taken) {
            let place = places.get(taken.counter());
            if let Some(sum) = place.and_then(|place| held.get_mut(*place)) {
                *sum = sum.saturating_add(taken.held());
            }
        }
    }

    /// Drops counters, and what open holds took from them: their ends give
    /// nothing back that others took since.
    pub(super) fn reset(&mut self, slot: &str, looks: &[Charge], places: &Map<&str, usize>) {
        let holds = self.holds.values_mut().filter(|hold| *hold.slot == *slot);
        for taken in holds.flat_map(|hold| &mut hold.taken) {
            if places.contains_key(taken.counter()) {
                taken.forget();
            }
        }
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.reset(&self.hasher, looks);
        }
    }

    /// Takes all charges for good, or none.
    pub(super) fn charge(&mut self, toll: &Toll, rules: &[Rule], now: UnixMillis) -> Paid {
        self.sweep(now, SWEPT_WITH_A_CALL);
        let hashes = Hashes::of(&self.hasher, &toll.charges);
        let names = || hashes.names(&toll.charges);
        let slot = slot(&mut self.slots, &mut self.to_sweep, &toll.slot, now);
        let mut counters = read(slot, names(), rules, now);
        let taken = toll::passes(&toll.charges, &counters, now);
        if taken {
            let charges = toll.charges.iter().zip(names());
            for (charge, counter) in charges.zip(&mut counters) {
                slot.charge(&self.hasher, charge, counter);
            }
        } else {
            slot.adopt(&self.hasher, names(), &counters, now);
        }
        toll::paid(taken, &toll.charges, &counters, now)
    }

    pub(super) fn settle(&mut self, hold: HoldId, actual: Actual, now: UnixMillis) -> Settled {
        self.forget(now);
        let before = self.ended.get(&hold).copied();
        let Some(open) = self.end(hold, Settled::Already, now) else {
            return before.unwrap_or(Settled::Unknown);
        };
        let slot = slot(&mut self.slots, &mut self.to_sweep, &open.slot, now);
        for taken in &open.taken {
            slot.correct(&self.hasher, taken, hold, actual, now);
        }
        Settled::Applied
    }

    pub(super) fn renew(
        &mut self,
        hold: HoldId,
        expiry: UnixMillis,
        lease_expiry: UnixMillis,
        now: UnixMillis,
    ) -> bool {
        let Some(open) = self.holds.get_mut(&hold) else {
            return false;
        };
        self.by_expiry.remove(&(open.expiry, hold));
        open.expiry = open.expiry.max(expiry);
        self.by_expiry.insert((open.expiry, hold));
        let slot = slot(&mut self.slots, &mut self.to_sweep, &open.slot, now);
        for taken in &mut open.taken {
            slot.renew(&self.hasher, taken, hold, lease_expiry, now);
        }
        true
    }

    /// Adds to `expired` until it has `max`; each is claimed until then.
    pub(super) fn expire_due(
        &mut self,
        now: UnixMillis,
        max: usize,
        claimed_until: UnixMillis,
        expired: &mut Vec<ExpiredHold>,
    ) {
        self.forget(now);
        for again in self.claims.due(now, max.saturating_sub(expired.len())) {
            self.claims.add(&again, claimed_until);
            expired.push(again);
        }
        while expired.len() < max {
            let due = self.by_expiry.first().filter(|(expiry, _)| *expiry <= now);
            let Some((_, hold)) = due.copied() else {
                break;
            };
            let Some(open) = self.end(hold, Settled::Expired, now) else {
                break;
            };
            if let Some(slot) = self.slots.get_mut(&open.slot) {
                for taken in &open.taken {
                    slot.release(taken, hold);
                }
            }
            let taken = ExpiredHold {
                slot: open.slot,
                hold,
                context: open.context,
            };
            self.claims.add(&taken, claimed_until);
            expired.push(taken);
        }
        self.sweep(now, SWEPT_BY_UPKEEP);
    }

    pub(super) fn told(&mut self, hold: HoldId) {
        self.claims.end(hold);
    }

    /// Takes out a hold, and remembers nothing of it.
    pub(super) fn drop_hold(&mut self, hold: HoldId) {
        let Some(open) = self.holds.remove(&hold) else {
            return;
        };
        self.by_expiry.remove(&(open.expiry, hold));
        if let Some(slot) = self.slots.get_mut(&open.slot) {
            for taken in &open.taken {
                slot.release(taken, hold);
            }
        }
    }

    pub(super) fn forget_slot(&mut self, slot: &str) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Slot::default();
        }
    }

    pub(super) fn open_holds(&self) -> usize {
        self.holds.len()
    }

    pub(super) fn counters(&self) -> usize {
        self.slots.values().map(Slot::counters).sum()
    }

    #[cfg(test)]
    pub(super) fn ended(&self) -> usize {
        self.ended.len()
    }

    /// Takes a hold out for good and remembers how it ended.
    fn end(&mut self, hold: HoldId, how: Settled, now: UnixMillis) -> Option<Hold> {
        let open = self.holds.remove(&hold);
        if let Some(open) = &open {
            self.by_expiry.remove(&(open.expiry, hold));
        }
        if let Entry::Vacant(entry) = self.ended.entry(hold) {
            entry.insert(how);
            self.ended_at.push_back((now, hold));
        }
        open
    }

    /// Forgets holds that ended long ago.
    fn forget(&mut self, now: UnixMillis) {
        while let Some((ended_at, hold)) = self.ended_at.front().copied() {
            let kept = now.since(ended_at) < ENDED_KEPT && self.ended_at.len() <= ENDED_MAX;
            if kept {
                break;
            }
            self.ended_at.pop_front();
            self.ended.remove(&hold);
        }
    }

    /// Looks through parts of slots that are due, `most` parts and about as many
    /// counters as one holds at most.
    fn sweep(&mut self, now: UnixMillis, most: usize) {
        let mut counters = 0;
        for _ in 0..most {
            let Some((swept_at, _)) = self.to_sweep.front() else {
                return;
            };
            // A clock that stepped back must not stop the sweeping.
            let early = *swept_at <= now && now.since(*swept_at) < SWEEP_EVERY;
            if early || counters > SWEPT_COUNTERS {
                return;
            }
            let Some((swept_at, name)) = self.to_sweep.pop_front() else {
                return;
            };
            let Some(slot) = self.slots.get_mut(&name) else {
                continue;
            };
            let swept = slot.sweep(&self.hasher, now);
            counters += swept.counters;
            if !swept.whole {
                // Its next part is next.
                self.to_sweep.push_front((swept_at, name));
            } else if slot.counters() == 0 {
                self.slots.remove(&name);
            } else {
                self.to_sweep.push_back((now, name));
            }
        }
    }
}

/// The hashes of charges' names, made once for all that is done by them.
struct Hashes([u64; CHARGES_MAX]);

impl Hashes {
    /// Of no more than [`CHARGES_MAX`], as there are no rules of more.
    fn of(hasher: &RandomState, charges: &[Charge]) -> Self {
        let mut hashes = [0; CHARGES_MAX];
        for (hash, charge) in hashes.iter_mut().zip(charges) {
            *hash = hasher.hash_one(&*charge.counter);
        }
        Self(hashes)
    }

    fn names<'c>(&self, charges: &'c [Charge]) -> impl Iterator<Item = Name<'c>> {
        let hashed = charges.iter().zip(&self.0);
        hashed.map(|(charge, hash)| Name::known(&charge.counter, *hash))
    }
}

/// The counters of charges as they stand.
fn read<'l, 'n>(
    slot: &mut Slot,
    names: impl Iterator<Item = Name<'n>>,
    rules: &[Rule<'l>],
    now: UnixMillis,
) -> Vec<Counter<'l>> {
    let mut counters = Vec::with_capacity(rules.len());
    for (name, rule) in names.zip(rules) {
        if let Rule::Leases { .. } = rule {
            slot.advance_leases(name, now);
        }
        counters.push(slot.read(*rule, name, now));
    }
    counters
}

/// The slot of this name, made where there is none. Takes the shard's parts, as
/// its holds are in use beside it.
fn slot<'a>(
    slots: &'a mut Map<Arc<str>, Slot>,
    to_sweep: &mut VecDeque<(UnixMillis, Arc<str>)>,
    name: &Arc<str>,
    now: UnixMillis,
) -> &'a mut Slot {
    // By reference: counting one reference more at each call costs more than all
    // the rest of this.
    match slots.entry_ref(&**name) {
        EntryRef::Occupied(slot) => slot.into_mut(),
        EntryRef::Vacant(vacant) => {
            to_sweep.push_back((now, Arc::clone(name)));
            vacant.insert_with_key(Arc::clone(name), Slot::default())
        }
    }
}
