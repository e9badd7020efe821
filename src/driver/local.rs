//! Calls decided by this sidecar alone, while the counters that all have in
//! common can't be reached.
//!
//! Each sidecar gives out its share of every limit from memory, beginning with
//! its part of what the store last said was used; so the fleet together stays
//! within the limit, as far as what others used lately is known here. What was
//! given out is kept in the `books` until the store has been told of it
//! (`merge`). So it is where the store is there and can't read a tenant's
//! counters, which concerns that tenant alone.

mod news;
mod parts;

use super::books::{Books, Debt, Whereabouts};
use super::carried::{leases_of, single};
use super::known::Known;
use crate::counters::CounterError;
use crate::counters::memory::Memory;
use crate::limits::counter::HOLD_TTL_MAX;
use crate::limits::share::OnCounterFailure;
use crate::limits::{
    Actual, Charge, Decision, HoldId, Limit, Mode, Paid, Refusal, Reservation, Retry, Toll, Unit,
};
use crate::units::{Millis, UnixMillis};
use parts::no_share;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// When to try again what a share can't give but the whole limit could: by then
/// the store may be back.
const RETRY_AFTER: Millis = Millis(1_000);

/// The debts that are looked at when a call ends, to see whether they are owed
/// still: about as many as a call adds.
const CHARGES_SEEN: usize = 8;

/// How long a share goes on, and is not begun anew, after counters could not be read.
const ODD_KEPT: Millis = Millis::from_mins(60);

/// What this sidecar admits by itself.
pub(super) struct Local {
    on_failure: OnCounterFailure,
    memory: Memory,
    /// How many sidecars share the limits, as far as was last known.
    sidecars: AtomicU64,
    books: Mutex<Books>,
    /// Rung when there is something to tell the store, or books to close.
    pub stirred: Notify,
    /// Rung when books may have been closed.
    closed: Notify,
}

impl Local {
    pub(super) fn new(on_failure: OnCounterFailure) -> Self {
        Self {
            on_failure,
            memory: Memory::default(),
            sidecars: AtomicU64::new(1),
            books: Mutex::default(),
            stirred: Notify::new(),
            closed: Notify::new(),
        }
    }

    /// Whether calls are decided here at all.
    pub(super) fn decides(&self) -> bool {
        self.on_failure != OnCounterFailure::Deny
    }

    /// Whether others give out shares beside this one's.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.on_failure == OnCounterFailure::Share && self.sidecars() > 1
    }

    pub(super) fn set_sidecars(&self, sidecars: u64) {
        self.sidecars.store(sidecars.max(1), Ordering::Relaxed);
    }

    /// How many share the limits.
    pub(super) fn sidecars(&self) -> u64 {
        self.sidecars.load(Ordering::Relaxed)
    }

    /// So many are known of, where more may not have been heard yet.
    pub(super) fn raise_sidecars(&self, sidecars: u64) {
        self.sidecars.fetch_max(sidecars, Ordering::Relaxed);
    }

    /// Decides one part of a call, of which the store knows so much.
    pub(super) fn decide(
        &self,
        part: &Reservation,
        whereabouts: Whereabouts,
        known: &Known,
        now: UnixMillis,
    ) -> Result<Decision, CounterError> {
        let scaled = match self.scaled(part) {
            Ok(scaled) => scaled,
            Err(refusal) => return Ok(Decision::Refused(refusal, Vec::new())),
        };
        if self.books().is_over(part.hold) {
            return Ok(Decision::Ended);
        }
        self.begin(&scaled, known, now)?;
        let decision = self.memory.reserve(&scaled, now)?;
        match decision {
            Decision::Admitted(standings) => {
                self.books().enter(Arc::new(part.clone()), whereabouts);
                self.stirred.notify_one();
                Ok(Decision::Admitted(standings))
            }
            Decision::Refused(refusal, standings) => {
                Ok(Decision::Refused(self.refusal(part, refusal), standings))
            }
            Decision::Ended => Ok(Decision::Ended),
        }
    }

    /// [`Local::decide`] for a toll, that nobody is told of before [`Local::owe`].
    /// `name` is one that nothing else has.
    pub(super) fn charge(
        &self,
        toll: &Toll,
        name: HoldId,
        known: &Known,
        now: UnixMillis,
    ) -> Result<Paid, CounterError> {
        let whole = Reservation {
            hold: name,
            slot: Arc::clone(&toll.slot),
            charges: toll.charges.as_slice().into(),
            shared: Arc::default(),
            hold_ttl: HOLD_TTL_MAX,
            lease_ttl: HOLD_TTL_MAX,
            context: "".into(),
        };
        let scaled = match self.scaled(&whole) {
            Ok(scaled) => scaled,
            Err(refusal) => return Ok(no_share(toll, refusal)),
        };
        self.begin(&scaled, known, now)?;
        let share = Toll {
            slot: Arc::clone(&toll.slot),
            charges: scaled.charges.to_vec(),
        };
        self.memory.charge(&share, now)
    }

    /// The store is to be told of a toll that was taken here.
    pub(super) fn owe(&self, toll: &Toll, now: UnixMillis) {
        let used = toll.charges.iter().map(|charge| (charge, charge.amount));
        let mut books = self.books();
        books.owe(&toll.slot, used);
        self.drop_over(&mut books, toll.charges.len(), now);
        drop(books);
        self.stirred.notify_one();
    }

    /// The part with this sidecar's share of each limit, or why there is none.
    fn scaled(&self, part: &Reservation) -> Result<Reservation, Refusal> {
        let mut scaled = match self.on_failure {
            OnCounterFailure::Allow => part.unrefused(),
            OnCounterFailure::Deny | OnCounterFailure::Share => part.clone(),
        };
        scaled.shared = Arc::default();
        scaled.context = "".into();
        // It dies with this process, and with nothing else.
        (scaled.hold_ttl, scaled.lease_ttl) = (HOLD_TTL_MAX, HOLD_TTL_MAX);
        let sidecars = self.sidecars();
        if self.on_failure == OnCounterFailure::Allow || sidecars == 1 {
            return Ok(scaled);
        }
        for (index, charge) in Arc::make_mut(&mut scaled.charges).iter_mut().enumerate() {
            charge.limit = match charge.limit.share(sidecars) {
                Some(share) => Arc::new(share),
                None if charge.wanted() == 0 => Arc::new(charge.limit.shadowed()),
                None if charge.limit.mode == Mode::Shadow => continue,
                None => {
                    return Err(Refusal {
                        charge: index,
                        used: 0,
                        requested: charge.wanted(),
                        remaining: 0,
                        reset_after: Some(RETRY_AFTER),
                        retry: Retry::After(RETRY_AFTER),
                    });
                }
            };
        }
        Ok(scaled)
    }

    /// Counters used for the first time since the store went away begin with
    /// this sidecar's part of what the store last said.
    fn begin(
        &self,
        scaled: &Reservation,
        known: &Known,
        now: UnixMillis,
    ) -> Result<(), CounterError> {
        // Leases are known by the calls themselves: see `carry_over`.
        let said = |charge: &Charge| match charge.limit.unit {
            Unit::Concurrency => None,
            _ => known.recall(&scaled.slot, &charge.counter, now),
        };
        let fresh = self.books().begin(scaled, said);
        // Whatever becomes of the call, the books are open now and must be closed.
        self.stirred.notify_one();
        let sidecars = self.sidecars();
        for (index, seen) in fresh {
            let Some(charge) = scaled.charges.get(index) else {
                continue;
            };
            let used = seen.begins_with(sidecars);
            let carried = single(scaled, index, charge, used);
            self.memory.reserve(&carried, seen.at)?;
            let actual = Actual::only(charge.limit.unit, used);
            self.memory
                .settle(&scaled.slot, carried.hold, actual, seen.at);
        }
        Ok(())
    }

    /// Whether leases of the part's slot may be open that don't count here.
    pub(super) fn is_new_to(&self, part: &Reservation) -> bool {
        let mut charges = part.charges.iter();
        charges.any(|charge| charge.limit.unit == Unit::Concurrency)
            && !self.books().counts_leases(&part.slot)
    }

    /// The store has put counters of a slot at rest. What open calls use is
    /// charged when they end.
    pub(super) fn reset(&self, slot: &str, looks: &[Charge]) {
        let mut books = self.books();
        self.memory.reset(slot, looks);
        for look in looks {
            books.forgive(slot, &look.counter);
        }
    }

    /// A call that the store has: its leases count here too. Whether they did
    /// not before.
    pub(super) fn carry_over(&self, call: Arc<Reservation>, now: UnixMillis) -> bool {
        let leases = leases_of(&call);
        if leases.charges.is_empty() {
            return false;
        }
        let Ok(Decision::Admitted(_)) = self.memory.reserve(&leases, now) else {
            return false;
        };
        let entered = self.books().enter(call, Whereabouts::There);
        self.stirred.notify_one();
        entered
    }

    /// A refusal by a share is not for ever where the whole limit could give it.
    fn refusal(&self, part: &Reservation, refusal: Refusal) -> Refusal {
        let charge = part.charges.get(refusal.charge);
        let could = charge.is_some_and(|charge| charge.wanted() <= charge.limit.most());
        match refusal.retry {
            Retry::Never if could => Refusal {
                retry: Retry::After(RETRY_AFTER),
                ..refusal
            },
            _ => refusal,
        }
    }

    /// Ends a hold as far as it is kept here; whether that is all there is to
    /// do now.
    pub(super) fn end(&self, hold: HoldId, actual: Actual, now: UnixMillis) -> bool {
        let Some((slot, whereabouts)) = self.books().end(hold, actual) else {
            return false;
        };
        self.memory.settle(&slot, hold, actual, now);
        self.drop_over(&mut self.books(), CHARGES_SEEN, now);
        self.stirred.notify_one();
        whereabouts != Whereabouts::There
    }

    /// The store is to be told of this call, which is over.
    pub(super) fn owe_all(&self, call: Reservation, actual: Actual, now: UnixMillis) {
        let hold = call.hold;
        self.books().enter(Arc::new(call), Whereabouts::Maybe);
        self.end(hold, actual, now);
    }

    /// Calls that the store is to be told of, in slots of the caller's choice;
    /// from now on it may know of them.
    pub(super) fn untold(&self, wanted: impl Fn(&str) -> bool) -> Vec<Arc<Reservation>> {
        self.books().untold(wanted)
    }

    /// The store has the call. What it used, if it is over.
    pub(super) fn told(&self, hold: HoldId) -> Option<Actual> {
        self.books().told(hold)
    }

    /// Whether the store has never heard of the call. From now on it may have.
    pub(super) fn asks_first(&self, hold: HoldId) -> bool {
        self.books().asks_first(hold)
    }

    /// Whether the store surely has a call that it is to be told of.
    pub(super) fn is_reserved(&self, hold: HoldId) -> bool {
        self.books().is_reserved(hold)
    }

    /// Whether the store is to be told of the call before anything else is asked
    /// about it.
    pub(super) fn is_untold(&self, hold: HoldId) -> bool {
        self.books().is_untold(hold)
    }

    /// The store holds what it can't read of this slot: one share for all that asks.
    pub(super) fn odd(&self, slot: &Arc<str>, now: UnixMillis) {
        self.books().odd(slot, now + ODD_KEPT);
        self.stirred.notify_one();
    }

    /// Nothing of the call is to be told any more.
    pub(super) fn strike(&self, hold: HoldId) {
        self.books().strike(hold);
    }

    /// The counters to which anything is owed, in slots of the caller's choice.
    pub(super) fn owing(&self, wanted: impl Fn(&str) -> bool) -> Vec<(Arc<str>, Arc<str>)> {
        self.books().owing(wanted)
    }

    /// What is owed to a counter.
    pub(super) fn debt(
        &self,
        (slot, counter): &(Arc<str>, Arc<str>),
        new_hold: impl Fn() -> HoldId,
        now: UnixMillis,
    ) -> Option<Debt> {
        let used =
            |slot: &Arc<str>, counter: &str, limit: &Limit| self.used(slot, counter, limit, now);
        self.books().debt(slot, counter, new_hold, used)
    }

    /// Forgets debts to windows that are over, faster than so many new ones come.
    fn drop_over(&self, books: &mut Books, new: usize, now: UnixMillis) {
        let used =
            |slot: &Arc<str>, counter: &str, limit: &Limit| self.used(slot, counter, limit, now);
        books.drop_over(used, 2 * new);
    }

    /// The store has been told.
    pub(super) fn paid(&self, debt: &Debt) {
        self.books().paid(debt);
    }

    /// Ends the share of each slot of the caller's choice of which the store has
    /// been told everything.
    pub(super) fn close(&self, wanted: impl Fn(&str) -> bool, now: UnixMillis) {
        let mut books = self.books();
        let closed = books.close(wanted, now);
        for (slot, hold) in closed.calls {
            // Open still: the next outage counts it anew.
            self.memory.drop_hold(&slot, hold);
        }
        for slot in closed.slots {
            self.memory.forget(&slot);
        }
        // Not before: whoever begins anew must not be forgotten at once.
        drop(books);
        self.closed.notify_waiters();
    }

    /// What is used of a counter here now, of the share by which it was counted.
    fn used(&self, slot: &Arc<str>, counter: &str, limit: &Limit, now: UnixMillis) -> u64 {
        let look = Charge::new(Arc::new(limit.clone()), counter, 0);
        self.memory.used(slot, &look, now)
    }

    /// A panic while they were locked left the books whole enough: each change
    /// is one call.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests;
