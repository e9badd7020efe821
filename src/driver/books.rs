//! What this sidecar admitted by itself and the store has not been told of.
//!
//! Always holds: a call is in the books from its admission until they are closed
//! or it has ended, and what it used is told with it or owed to the store, never
//! both. That the store has been told of an open call changes nothing here: its
//! share is given out until the store decides again, which may fail just then.
//! They grow with the calls that are open and with the counters whose windows
//! run.

use crate::limits::{Actual, Charge, HoldId, Limit, Reservation, Unit};
use crate::units::UnixMillis;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Books {
    calls: HashMap<HoldId, Call>,
    /// What calls that are over used, by slot and counter.
    owed: HashMap<Arc<str>, HashMap<Arc<str>, Owed>>,
    /// Each counter of `owed` once, the longest unseen first.
    to_see: VecDeque<(Arc<str>, Arc<str>)>,
    /// Counters that began with what the store said, by slot: at most as many
    /// as are known of.
    begun: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// Slots of which the store holds what it can't read, and until when they
    /// stay open: at most as many as there are tenants and domains.
    odd: HashMap<Arc<str>, UnixMillis>,
}

struct Call {
    reservation: Arc<Reservation>,
    whereabouts: Whereabouts,
    ended: Option<Actual>,
    /// The store may have heard of it.
    asked: bool,
    /// The store surely has it, and may have settled it: it must not be told of
    /// it anew, as what has ended is not remembered for ever.
    reserved: bool,
}

/// Who knows of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// The store was not asked.
    Here,
    /// The store was asked and did not answer, or is being told now.
    Maybe,
    /// The store has it; it counts here too.
    There,
}

/// What the store has not been told of one counter.
struct Owed {
    limit: Arc<Limit>,
    amount: u64,
    /// So much more is being told under this name, the same at each attempt.
    telling: Option<(HoldId, u64)>,
}

/// What the store is to be told of one counter.
#[derive(Debug, Clone)]
pub(super) struct Debt {
    pub slot: Arc<str>,
    pub counter: Arc<str>,
    pub limit: Arc<Limit>,
    pub hold: HoldId,
    pub amount: u64,
}

/// What is at an end.
#[derive(Default)]
pub(super) struct Closed {
    pub calls: Vec<(Arc<str>, HoldId)>,
    pub slots: Vec<Arc<str>>,
}

impl Books {
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.calls.is_empty()
    }

    /// How many calls and counters the store is to be told of.
    pub(super) fn untold_len(&self) -> (usize, usize) {
        let calls = self.calls.values();
        let calls = calls.filter(|call| call.whereabouts != Whereabouts::There);
        let counters = self.owed.values().map(HashMap::len).sum();
        (calls.count(), counters)
    }

    /// Whether all leases of the slot count here. Of an odd one the store still
    /// gives out some.
    pub(super) fn counts_leases(&self, slot: &str) -> bool {
        self.begun.contains_key(slot) && !self.odd.contains_key(slot)
    }

    pub(super) fn is_over(&self, hold: HoldId) -> bool {
        let call = self.calls.get(&hold);
        call.is_some_and(|call| call.ended.is_some())
    }

    /// Which of the charges are on counters that begin now with what the store
    /// said, which `said` knows.
    pub(super) fn begin<S>(
        &mut self,
        part: &Reservation,
        said: impl Fn(&Charge) -> Option<S>,
    ) -> Vec<(usize, S)> {
        let begun = self.begun.entry(Arc::clone(&part.slot)).or_default();
        let mut fresh = Vec::new();
        for (index, charge) in part.charges.iter().enumerate() {
            if !begun.contains(&charge.counter)
                && let Some(said) = said(charge)
            {
                begun.insert(Arc::clone(&charge.counter));
                fresh.push((index, said));
            }
        }
        fresh
    }

    /// Writes a call down; one that is in the books stays as it is. Whether it
    /// was not.
    pub(super) fn enter(
        &mut self,
        reservation: Arc<Reservation>,
        whereabouts: Whereabouts,
    ) -> bool {
        let slot = Arc::clone(&reservation.slot);
        self.begun.entry(slot).or_default();
        let Entry::Vacant(entry) = self.calls.entry(reservation.hold) else {
            return false;
        };
        entry.insert(Call {
            reservation,
            whereabouts,
            ended: None,
            asked: whereabouts != Whereabouts::Here,
            reserved: false,
        });
        true
    }

    /// What the store holds of the slot it can't read: its books stay open until
    /// then, lest its share be given out anew whenever they are closed.
    pub(super) fn odd(&mut self, slot: &Arc<str>, until: UnixMillis) {
        self.begun.entry(Arc::clone(slot)).or_default();
        self.odd.insert(Arc::clone(slot), until);
    }

    /// A call is over: in which slot, and who knew of it.
    pub(super) fn end(&mut self, hold: HoldId, actual: Actual) -> Option<(Arc<str>, Whereabouts)> {
        let call = self.calls.get_mut(&hold)?;
        let slot = Arc::clone(&call.reservation.slot);
        let whereabouts = call.whereabouts;
        match whereabouts {
            Whereabouts::There => {
                self.calls.remove(&hold);
            }
            Whereabouts::Maybe => {
                call.ended.get_or_insert(actual);
            }
            Whereabouts::Here => {
                let reservation = Arc::clone(&call.reservation);
                self.calls.remove(&hold);
                let charges = reservation.charges.iter();
                let used = charges.map(|charge| (charge, actual.of(charge.limit.unit)));
                self.owe(&reservation.slot, used);
            }
        }
        Some((slot, whereabouts))
    }

    /// So much was used of each charge's counter.
    pub(super) fn owe<'c>(
        &mut self,
        slot: &Arc<str>,
        charges: impl Iterator<Item = (&'c Charge, u64)>,
    ) {
        let counters = self.owed.entry(Arc::clone(slot)).or_default();
        for (charge, used) in charges.filter(|(_, used)| *used > 0) {
            let name = Arc::clone(&charge.counter);
            let owed = counters.entry(name).or_insert_with(|| {
                let seen = (Arc::clone(slot), Arc::clone(&charge.counter));
                self.to_see.push_back(seen);
                Owed {
                    limit: Arc::clone(&charge.limit),
                    amount: 0,
                    telling: None,
                }
            });
            owed.amount = owed.amount.saturating_add(used);
        }
    }

    /// Looks at a few counters, and drops those whose window is over: what went
    /// to it is owed no longer. More than a call adds, so that however long the
    /// store is away and whatever names clients choose, little more is kept than
    /// what counts still. `used` says what is used of a counter now.
    pub(super) fn drop_over(&mut self, used: impl Fn(&Arc<str>, &str, &Limit) -> u64, most: usize) {
        for _ in 0..most.min(self.to_see.len()) {
            let Some((slot, counter)) = self.to_see.pop_front() else {
                return;
            };
            let Some(counters) = self.owed.get_mut(&slot) else {
                continue;
            };
            let Some(owed) = counters.get(&counter) else {
                continue;
            };
            if owed.telling.is_none() && used(&slot, &counter, &owed.limit) == 0 {
                counters.remove(&counter);
            } else {
                self.to_see.push_back((slot, counter));
            }
        }
    }

    /// Calls that the store is to be told of; from now on it may know of them.
    pub(super) fn untold(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<Arc<Reservation>> {
        let calls = self.calls.values_mut().filter(|call| {
            call.whereabouts != Whereabouts::There && wanted(&call.reservation.slot)
        });
        let told = calls.map(|call| {
            call.whereabouts = Whereabouts::Maybe;
            Arc::clone(&call.reservation)
        });
        told.collect()
    }

    /// The store has the call. What it used, if it is over; else its share is
    /// its own until the books are closed.
    pub(super) fn told(&mut self, hold: HoldId) -> Option<Actual> {
        let call = self.calls.get_mut(&hold)?;
        call.reserved = true;
        if call.ended.is_none() {
            call.whereabouts = Whereabouts::There;
        }
        call.ended
    }

    /// Whether the store has never heard of the call. From now on it may have.
    pub(super) fn asks_first(&mut self, hold: HoldId) -> bool {
        let call = self.calls.get_mut(&hold);
        call.is_some_and(|call| !std::mem::replace(&mut call.asked, true))
    }

    /// Another process ended a call of which the store had not heard: what it used
    /// is owed, or what it reserved where that isn't known here.
    pub(super) fn ended_elsewhere(&mut self, hold: HoldId) {
        let Some(call) = self.calls.remove(&hold) else {
            return;
        };
        let used = |charge: &Charge| match (call.ended, charge.limit.unit) {
            (Some(actual), unit) => actual.of(unit),
            (None, Unit::Concurrency) => 0,
            (None, _) => charge.amount,
        };
        let charges = call.reservation.charges.iter();
        let used = charges.map(|charge| (charge, used(charge)));
        self.owe(&call.reservation.slot, used);
    }

    /// Whether the store surely has a call that is in the books.
    pub(super) fn is_reserved(&self, hold: HoldId) -> bool {
        let call = self.calls.get(&hold);
        call.is_some_and(|call| call.reserved)
    }

    /// Whether the store is to be told of the call first of all.
    pub(super) fn is_untold(&self, hold: HoldId) -> bool {
        let call = self.calls.get(&hold);
        call.is_some_and(|call| call.whereabouts != Whereabouts::There)
    }

    /// Nothing of the call is to be told any more. One that is open counts here
    /// until it ends.
    pub(super) fn strike(&mut self, hold: HoldId) {
        if let Entry::Occupied(mut entry) = self.calls.entry(hold) {
            match entry.get().ended {
                Some(_) => {
                    entry.remove();
                }
                None => entry.get_mut().whereabouts = Whereabouts::There,
            }
        }
    }

    /// The counters to which anything is owed, with their slots.
    pub(super) fn owing(&self, wanted: impl Fn(&str) -> bool) -> Vec<(Arc<str>, Arc<str>)> {
        let slots = self.owed.iter().filter(|(slot, _)| wanted(slot));
        let all = slots.flat_map(|(slot, counters)| {
            let names = counters.keys();
            names.map(|counter| (Arc::clone(slot), Arc::clone(counter)))
        });
        all.collect()
    }

    /// What is owed to a counter, with the name under which to tell it. `used`
    /// says what is used of it now: what went to a window that is over is owed
    /// no longer.
    pub(super) fn debt(
        &mut self,
        slot: &Arc<str>,
        counter: &Arc<str>,
        new_hold: impl Fn() -> HoldId,
        used: impl Fn(&Arc<str>, &str, &Limit) -> u64,
    ) -> Option<Debt> {
        let owed = self.owed.get_mut(slot)?.get_mut(counter)?;
        let (hold, amount) = *owed.telling.get_or_insert_with(|| {
            let most = used(slot, counter, &owed.limit);
            (new_hold(), std::mem::take(&mut owed.amount).min(most))
        });
        Some(Debt {
            slot: Arc::clone(slot),
            counter: Arc::clone(counter),
            limit: Arc::clone(&owed.limit),
            hold,
            amount,
        })
    }

    /// Nothing is owed to a counter any more, but what is being told.
    pub(super) fn forgive(&mut self, slot: &str, counter: &str) {
        let Some(counters) = self.owed.get_mut(slot) else {
            return;
        };
        match counters.get_mut(counter) {
            Some(owed) if owed.telling.is_some() => owed.amount = 0,
            _ => {
                counters.remove(counter);
            }
        }
    }

    /// The store has been told.
    pub(super) fn paid(&mut self, debt: &Debt) {
        if let Some(counters) = self.owed.get_mut(&debt.slot)
            && let Some(owed) = counters.get_mut(&debt.counter)
        {
            owed.telling = None;
            if owed.amount == 0 {
                counters.remove(&debt.counter);
            }
        }
    }

    /// Closes the books of each slot of which the store has been told
    /// everything.
    pub(super) fn close(&mut self, wanted: impl Fn(&str) -> bool, now: UnixMillis) -> Closed {
        self.odd.retain(|_, until| now < *until);
        let owed = self.owed.iter();
        let owed = owed.filter(|(_, counters)| !counters.is_empty());
        let calls = self.calls.values();
        let untold = calls.filter(|call| call.whereabouts != Whereabouts::There);
        let open: HashSet<Arc<str>> = owed
            .map(|(slot, _)| slot)
            .chain(untold.map(|call| &call.reservation.slot))
            .chain(self.odd.keys())
            .cloned()
            .collect();
        let closes = |slot: &Arc<str>| wanted(slot) && !open.contains(slot);
        let mut closed = Closed::default();
        self.calls.retain(|hold, call| {
            let slot = &call.reservation.slot;
            let kept = !closes(slot);
            if !kept {
                closed.calls.push((Arc::clone(slot), *hold));
            }
            kept
        });
        self.owed.retain(|slot, _| !closes(slot));
        self.to_see.retain(|(slot, _)| !closes(slot));
        self.begun.retain(|slot, _| {
            let kept = !closes(slot);
            if !kept {
                closed.slots.push(Arc::clone(slot));
            }
            kept
        });
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Algorithm, Mode, Scope};
    use crate::units::Millis;

    const EVERY: fn(&str) -> bool = |_| true;
    const NOW: UnixMillis = UnixMillis(5);

    fn hold(n: u8) -> HoldId {
        HoldId::new(UnixMillis(1), &[n; 10])
    }

    fn call(n: u8) -> Arc<Reservation> {
        let limit = Arc::new(Limit {
            name: "tpm".into(),
            scope: Scope::TENANT,
            unit: Unit::Tokens,
            amount: 100,
            algorithm: Algorithm::SlidingWindow {
                every: Millis(60_000),
            },
            mode: Mode::Enforce,
        });
        Arc::new(Reservation {
            hold: hold(n),
            slot: "acme".into(),
            charges: vec![Charge::new(limit, "c", 50)].into(),
            shared: Arc::default(),
            hold_ttl: Millis(1_000),
            lease_ttl: Millis(1_000),
            context: "".into(),
        })
    }

    fn used(tokens: u64) -> Actual {
        Actual::only(Unit::Tokens, tokens)
    }

    /// All debts, of names that begin with this.
    fn debts(books: &mut Books, name: u8, most: u64) -> Vec<Debt> {
        let owing = books.owing(EVERY).into_iter();
        let debts = owing.filter_map(|(slot, counter)| {
            books.debt(&slot, &counter, || hold(name), |_, _, _| most)
        });
        debts.collect()
    }

    fn owed(books: &mut Books, most: u64) -> Vec<(HoldId, u64)> {
        let debts = debts(books, 99, most);
        debts.iter().map(|debt| (debt.hold, debt.amount)).collect()
    }

    #[test]
    fn what_was_used_is_owed_once_and_under_one_name() {
        let mut books = Books::default();
        for n in [1, 2] {
            books.enter(call(n), Whereabouts::Here);
            books.end(hold(n), used(10));
        }
        assert_eq!(owed(&mut books, 1_000), [(hold(99), 20)]);
        // What comes while it is told is told later; what is told stays as it is.
        books.enter(call(3), Whereabouts::Here);
        books.end(hold(3), used(5));
        let told = debts(&mut books, 98, 1_000);
        assert_eq!((told[0].hold, told[0].amount), (hold(99), 20));
        assert!(books.close(EVERY, NOW).slots.is_empty(), "not all is told");
        books.paid(&told[0]);
        let told = debts(&mut books, 97, 1_000);
        assert_eq!((told[0].hold, told[0].amount), (hold(97), 5));
        books.paid(&told[0]);
        assert!(owed(&mut books, 1_000).is_empty());
        assert_eq!(books.close(EVERY, NOW).slots, [Arc::from("acme")]);
        assert!(books.is_empty());
    }

    #[test]
    fn what_is_forgiven_is_not_owed_but_what_is_being_told_is() {
        let mut books = Books::default();
        let uses = |books: &mut Books, n| {
            books.enter(call(n), Whereabouts::Here);
            books.end(hold(n), used(10));
        };
        uses(&mut books, 1);
        books.forgive("acme", "other");
        books.forgive("other", "c");
        assert_eq!(books.owing(EVERY).len(), 1);
        books.forgive("acme", "c");
        assert!(owed(&mut books, 1_000).is_empty());
        uses(&mut books, 2);
        let told = debts(&mut books, 98, 1_000);
        uses(&mut books, 3);
        books.forgive("acme", "c");
        assert_eq!(owed(&mut books, 1_000), [(hold(98), 10)]);
        books.paid(&told[0]);
        assert!(owed(&mut books, 1_000).is_empty());
    }

    #[test]
    fn what_went_to_a_window_that_is_over_is_not_owed() {
        let mut books = Books::default();
        books.enter(call(1), Whereabouts::Here);
        books.end(hold(1), used(10));
        assert_eq!(owed(&mut books, 4), [(hold(99), 4)]);
    }

    /// Ever new names, as clients may choose them, over a long outage.
    #[test]
    fn debts_to_windows_that_are_over_are_forgotten() {
        let mut books = Books::default();
        let limit = Arc::clone(&call(1).charges[0].limit);
        for n in 0_u64..10_000 {
            let charge = Charge::new(Arc::clone(&limit), n.to_string(), 1);
            books.owe(&"acme".into(), std::iter::once((&charge, 1)));
            // Of a hundred names ago nothing counts any more.
            let used = |_: &Arc<str>, counter: &str, _: &Limit| {
                u64::from(counter.parse::<u64>().unwrap() + 100 > n)
            };
            books.drop_over(used, 2);
            assert!(books.to_see.len() <= 300, "{n}");
            let kept = books.owing(EVERY).len();
            assert!(
                kept <= 300 && kept >= 100.min(n as usize + 1),
                "{n}: {kept}"
            );
        }
    }

    #[test]
    fn only_counters_of_which_something_is_known_are_begun_with() {
        let mut books = Books::default();
        let part = call(1);
        assert!(books.begin(&part, |_| None::<u64>).is_empty());
        assert!(books.begun["acme"].is_empty() && books.counts_leases("acme"));
        assert_eq!(books.begin(&part, |_| Some(7)), [(0, 7)]);
        assert!(books.begin(&part, |_| Some(7)).is_empty(), "once");
    }

    #[test]
    fn a_call_that_the_store_may_know_of_is_told_by_its_own_name() {
        let mut books = Books::default();
        books.enter(call(1), Whereabouts::Maybe);
        books.enter(call(2), Whereabouts::Here);
        books.enter(call(3), Whereabouts::There);
        assert_eq!(books.untold(EVERY).len(), 2);
        // It ends while it is told.
        let ended = books.end(hold(2), used(7)).map(|(_, known)| known);
        assert_eq!(ended, Some(Whereabouts::Maybe));
        assert!(books.is_over(hold(2)) && !books.is_over(hold(1)));
        assert!(books.is_untold(hold(1)) && !books.is_untold(hold(3)));
        assert_eq!(books.told(hold(1)), None);
        assert!(!books.is_untold(hold(1)), "the store keeps it from now on");
        assert!(!books.is_reserved(hold(2)));
        for _ in 0..2 {
            assert_eq!(books.told(hold(2)), Some(used(7)));
            assert!(books.is_reserved(hold(2)), "it is only to be settled");
        }
        books.strike(hold(2));
        assert!(owed(&mut books, 1_000).is_empty(), "nothing is told twice");
        let mut closed = books.close(EVERY, NOW).calls;
        closed.sort();
        assert_eq!(
            closed,
            [(Arc::from("acme"), hold(1)), (Arc::from("acme"), hold(3))],
            "what is open counts here until the end"
        );
    }

    /// One tenant's counters can't be read: its share stays what it is, and the
    /// others' end.
    #[test]
    fn an_odd_slot_keeps_its_books_and_no_others() {
        let mut books = Books::default();
        let mut other = Reservation::clone(&call(2));
        other.slot = "globex".into();
        books.enter(call(1), Whereabouts::Maybe);
        books.enter(Arc::new(other), Whereabouts::Maybe);
        books.odd(&"acme".into(), UnixMillis(NOW.0 + 10));
        assert!(books.counts_leases("globex") && !books.counts_leases("acme"));
        assert_eq!(books.told(hold(2)), None);
        assert_eq!(books.close(EVERY, NOW).slots, [Arc::from("globex")]);
        // What can't be told is given up, and counts here until it ends.
        books.strike(hold(1));
        let later = UnixMillis(NOW.0 + 9);
        assert!(books.close(EVERY, later).slots.is_empty());
        let ended = books.end(hold(1), used(3)).map(|(_, known)| known);
        assert_eq!(ended, Some(Whereabouts::There));
        let later = UnixMillis(NOW.0 + 10);
        assert_eq!(books.close(EVERY, later).slots, [Arc::from("acme")]);
        assert!(books.is_empty());
    }
}
