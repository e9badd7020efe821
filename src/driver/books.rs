//! What this sidecar admitted by itself and the store has not been told of.
//!
//! Always holds: a call is in the books from its admission until the store
//! knows of it, or until it ended and what it used is owed to the store; never
//! in both. They grow with the calls that are open and with the counters that
//! were used.

use crate::limits::{Actual, Charge, HoldId, Limit, Reservation};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Books {
    calls: HashMap<HoldId, Call>,
    /// What calls that are over used, by slot and counter.
    owed: HashMap<Arc<str>, HashMap<Arc<str>, Owed>>,
    /// Counters that begin with what the store said, by slot.
    begun: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

struct Call {
    reservation: Arc<Reservation>,
    whereabouts: Whereabouts,
    ended: Option<Actual>,
}

/// Who knows of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// The store was not asked.
    Here,
    /// The store was asked and did not answer, or is being told now.
    Maybe,
    /// The store has it; its leases count here too.
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

    pub(super) fn has_begun(&self, slot: &str) -> bool {
        self.begun.contains_key(slot)
    }

    pub(super) fn is_over(&self, hold: HoldId) -> bool {
        let call = self.calls.get(&hold);
        call.is_some_and(|call| call.ended.is_some())
    }

    /// Which of the charges are on counters that are used for the first time.
    pub(super) fn begin(&mut self, part: &Reservation) -> Vec<usize> {
        let begun = self.begun.entry(Arc::clone(&part.slot)).or_default();
        let charges = part.charges.iter().enumerate();
        let fresh: Vec<usize> = charges
            .filter(|(_, charge)| !begun.contains(&charge.counter))
            .map(|(index, _)| index)
            .collect();
        let names = fresh.iter().filter_map(|index| part.charges.get(*index));
        begun.extend(names.map(|charge| charge.counter.clone()));
        fresh
    }

    /// Writes a call down; one that is in the books stays as it is.
    pub(super) fn enter(&mut self, reservation: Arc<Reservation>, whereabouts: Whereabouts) {
        let slot = Arc::clone(&reservation.slot);
        self.begun.entry(slot).or_default();
        self.calls.entry(reservation.hold).or_insert(Call {
            reservation,
            whereabouts,
            ended: None,
        });
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
            let name = charge.counter.clone();
            let owed = counters.entry(name).or_insert_with(|| Owed {
                limit: Arc::clone(&charge.limit),
                amount: 0,
                telling: None,
            });
            owed.amount = owed.amount.saturating_add(used);
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

    /// The store has the call. What it used, if it is over; else it is in the
    /// books no longer.
    pub(super) fn told(&mut self, hold: HoldId) -> Option<Actual> {
        let ended = self.calls.get(&hold)?.ended;
        if ended.is_none() {
            self.calls.remove(&hold);
        }
        ended
    }

    /// Nothing of the call is to be told any more.
    pub(super) fn strike(&mut self, hold: HoldId) {
        self.calls.remove(&hold);
    }

    /// What is owed, each with the name under which to tell it. `used` says what
    /// is used of a counter now: what went to a window that is over is owed no
    /// longer.
    pub(super) fn owed(
        &mut self,
        wanted: impl Fn(&str) -> bool,
        new_hold: impl Fn() -> HoldId,
        used: impl Fn(&Arc<str>, &str, &Limit) -> u64,
    ) -> Vec<Debt> {
        let mut debts = Vec::new();
        for (slot, counters) in self.owed.iter_mut().filter(|(slot, _)| wanted(slot)) {
            for (counter, owed) in counters {
                let (hold, amount) = *owed.telling.get_or_insert_with(|| {
                    let most = used(slot, counter, &owed.limit);
                    (new_hold(), std::mem::take(&mut owed.amount).min(most))
                });
                debts.push(Debt {
                    slot: Arc::clone(slot),
                    counter: counter.clone(),
                    limit: Arc::clone(&owed.limit),
                    hold,
                    amount,
                });
            }
        }
        debts
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

    /// Closes the books of slots, where the store has been told of everything.
    pub(super) fn close(&mut self, wanted: impl Fn(&str) -> bool) -> Closed {
        let mut owed = self.owed.iter().filter(|(slot, _)| wanted(slot));
        let mut calls = self
            .calls
            .values()
            .filter(|call| wanted(&call.reservation.slot));
        let is_open = owed.any(|(_, counters)| !counters.is_empty())
            || calls.any(|call| call.whereabouts != Whereabouts::There);
        let mut closed = Closed::default();
        if is_open {
            return closed;
        }
        self.calls.retain(|hold, call| {
            let slot = &call.reservation.slot;
            let kept = !wanted(slot);
            if !kept {
                closed.calls.push((Arc::clone(slot), *hold));
            }
            kept
        });
        self.owed.retain(|slot, _| !wanted(slot));
        closed.slots = self
            .begun
            .keys()
            .filter(|slot| wanted(slot))
            .cloned()
            .collect();
        self.begun.retain(|slot, _| !wanted(slot));
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Algorithm, Mode, Scope, Unit};
    use crate::units::{Millis, UnixMillis};

    const EVERY: fn(&str) -> bool = |_| true;

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
            charges: vec![Charge::new(limit, "c", 50)],
            shared: Vec::new(),
            hold_ttl: Millis(1_000),
            lease_ttl: Millis(1_000),
            context: "".into(),
        })
    }

    fn used(tokens: u64) -> Actual {
        Actual::only(Unit::Tokens, tokens)
    }

    fn owed(books: &mut Books, most: u64) -> Vec<(HoldId, u64)> {
        let debts = books.owed(EVERY, || hold(99), |_, _, _| most);
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
        let debts = books.owed(EVERY, || hold(98), |_, _, _| 1_000);
        assert_eq!((debts[0].hold, debts[0].amount), (hold(99), 20));
        assert!(books.close(EVERY).slots.is_empty(), "not all is told");
        books.paid(&debts[0]);
        let debts = books.owed(EVERY, || hold(97), |_, _, _| 1_000);
        assert_eq!((debts[0].hold, debts[0].amount), (hold(97), 5));
        books.paid(&debts[0]);
        assert!(owed(&mut books, 1_000).is_empty());
        assert_eq!(books.close(EVERY).slots, [Arc::from("acme")]);
        assert!(books.is_empty());
    }

    #[test]
    fn what_went_to_a_window_that_is_over_is_not_owed() {
        let mut books = Books::default();
        books.enter(call(1), Whereabouts::Here);
        books.end(hold(1), used(10));
        assert_eq!(owed(&mut books, 4), [(hold(99), 4)]);
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
        assert_eq!(books.told(hold(1)), None);
        assert_eq!(books.told(hold(2)), Some(used(7)));
        books.strike(hold(2));
        assert!(owed(&mut books, 1_000).is_empty(), "nothing is told twice");
        assert_eq!(books.close(EVERY).calls, [(Arc::from("acme"), hold(3))]);
    }
}
