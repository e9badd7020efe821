//! The counters of one slot.

mod kept;

use super::cells::{Cells, Kind, Name, State, Swept};
use crate::limits::concurrency::{Leases, Occupancy};
use crate::limits::counter::{Counter, Rule};
use crate::limits::fixed_window::{FixedWindow, Turns};
use crate::limits::period::Period;
use crate::limits::rollover::Rollover;
use crate::limits::sliding_window::{TakenIn, Window};
use crate::limits::token_bucket::{Bucket, Rate};
use crate::limits::{AMOUNT_MAX, Actual, Charge, HoldId, Unit};
use crate::units::UnixMillis;
use ahash::RandomState;
use kept::{fresh, store};
use std::sync::Arc;

/// By counter name. A counter that isn't there is at rest. Whoever has the slot
/// brings the hasher that names are found by, always the same.
#[derive(Debug, Default)]
pub(super) struct Slot {
    cells: Cells,
}

/// What a hold took from one counter.
#[derive(Debug)]
pub(super) struct Taken {
    counter: Arc<str>,
    /// Of its name.
    hash: u64,
    unit: Unit,
    held: u64,
    from: From,
}

#[derive(Debug)]
enum From {
    Fixed {
        period: Arc<Period>,
        rollover: Option<Rollover>,
        charged: UnixMillis,
    },
    Window(TakenIn),
    Bucket(Rate),
    Lease(UnixMillis),
}

impl Taken {
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    pub(super) fn counter(&self) -> &str {
        &self.counter
    }

    fn name(&self) -> Name<'_> {
        Name::known(&self.counter, self.hash)
    }

    /// Its counter was put at rest: what was taken isn't there any more.
    pub(super) fn forget(&mut self) {
        if !matches!(self.from, From::Lease(_)) {
            self.held = 0;
        }
    }
}

impl Slot {
    /// A counter as it stands, brought up to now; stores nothing.
    pub(super) fn read<'l>(&self, rule: Rule<'l>, name: Name, now: UnixMillis) -> Counter<'l> {
        let stored = self.cells.get(Kind::of(&rule), name);
        match rule {
            Rule::Fixed {
                limit,
                period,
                rollover,
            } => {
                let turns = Turns { period, rollover };
                let mut window = match stored {
                    Some(State::Fixed(window)) => *window,
                    _ => FixedWindow::empty(turns, now),
                };
                window.advance(turns, now);
                Counter::Fixed {
                    limit,
                    turns,
                    window,
                }
            }
            Rule::Window { limit, sub_ms } => {
                let mut window = match stored {
                    Some(State::Window(window)) => **window,
                    _ => Window::empty(sub_ms, now),
                };
                window.advance(now);
                window.adopt(sub_ms, now);
                Counter::Window { limit, window }
            }
            Rule::Bucket(rate) => {
                let mut bucket = match stored {
                    Some(State::Bucket(bucket)) => *bucket,
                    _ => Bucket::full(rate, now),
                };
                bucket.advance(now);
                bucket.adopt(rate);
                Counter::Bucket(bucket)
            }
            Rule::Leases { limit } => {
                let occupancy = match stored {
                    Some(State::Leases(leases)) => leases.occupancy(),
                    _ => Occupancy::default(),
                };
                Counter::Leases { limit, occupancy }
            }
        }
    }

    /// The rule that a counter is kept by.
    pub(super) fn kept_by<'l>(&self, rule: Rule<'l>, name: Name) -> Rule<'l> {
        match (rule, self.cells.get(Kind::of(&rule), name)) {
            (Rule::Bucket(_), Some(State::Bucket(bucket))) => Rule::Bucket(bucket.rate()),
            _ => rule,
        }
    }

    /// Forgets the leases that have expired. Before [`Slot::read`].
    pub(super) fn advance_leases(&mut self, name: Name, now: UnixMillis) {
        if let Some(leases) = self.leases(name) {
            leases.advance(now);
        }
    }

    /// Stores counters whose limit has changed since they were stored, though
    /// the call was refused: else each call that comes would find them as they
    /// were, and none would pass when it was told to.
    pub(super) fn adopt<'n>(
        &mut self,
        hasher: &RandomState,
        names: impl Iterator<Item = Name<'n>>,
        counters: &[Counter],
        now: UnixMillis,
    ) {
        for (name, counter) in names.zip(counters) {
            let Some(stored) = self.stored(name, counter) else {
                // What this window leaves is carried on: a call that was told to wait
                // for that must find it.
                if let Counter::Fixed { window, .. } = counter
                    && window.carries()
                {
                    self.cells.put(hasher, name, State::Fixed(*window));
                }
                continue;
            };
            match (stored, counter) {
                (State::Fixed(stored), Counter::Fixed { window, .. })
                    if !window.at_rest() || window.carries() && !stored.is_kept(now) =>
                {
                    *stored = *window;
                }
                (State::Window(stored), Counter::Window { window, .. })
                    if !stored.is_cut_like(window) =>
                {
                    **stored = *window;
                }
                (State::Bucket(stored), Counter::Bucket(bucket))
                    if stored.rate() != bucket.rate() =>
                {
                    *stored = *bucket;
                }
                _ => {}
            }
        }
    }

    /// Charges a counter that admits, and stores it.
    pub(super) fn take(
        &mut self,
        hasher: &RandomState,
        (charge, name): (&Charge, Name),
        counter: &mut Counter,
        (hold, lease_expiry): (HoldId, UnixMillis),
    ) -> Taken {
        let from = match counter {
            Counter::Fixed { window, turns, .. } => From::Fixed {
                charged: window.take(charge.amount),
                period: Arc::clone(turns.period),
                rollover: turns.rollover,
            },
            Counter::Window { window, .. } => From::Window(window.take(charge.amount)),
            Counter::Bucket(bucket) => {
                bucket.take(charge.amount);
                From::Bucket(bucket.rate())
            }
            Counter::Leases { occupancy, .. } => {
                occupancy.take();
                From::Lease(lease_expiry)
            }
        };
        match self.stored(name, counter) {
            Some(State::Leases(leases)) => leases.take(hold, lease_expiry),
            Some(stored) => store(stored, counter),
            None => {
                let mut fresh = fresh(counter);
                if let State::Leases(leases) = &mut fresh {
                    leases.take(hold, lease_expiry);
                }
                self.cells.put(hasher, name, fresh);
            }
        }
        Taken {
            counter: Arc::clone(&charge.counter),
            hash: name.hash(),
            unit: charge.limit.unit,
            held: charge.amount,
            from,
        }
    }

    /// Charges a counter for good, and stores it. Leases aren't charged so.
    pub(super) fn charge(
        &mut self,
        hasher: &RandomState,
        (charge, name): (&Charge, Name),
        counter: &mut Counter,
    ) {
        let amount = charge.amount;
        if amount == 0 {
            return;
        }
        match counter {
            Counter::Fixed { window, .. } => {
                window.take(amount);
            }
            Counter::Window { window, .. } => {
                window.take(amount);
            }
            Counter::Bucket(bucket) => bucket.take(amount),
            Counter::Leases { .. } => return,
        }
        match self.stored(name, counter) {
            Some(stored) => store(stored, counter),
            None => self.cells.put(hasher, name, fresh(counter)),
        }
    }

    /// Replaces what was held by what was used.
    pub(super) fn correct(
        &mut self,
        hasher: &RandomState,
        taken: &Taken,
        hold: HoldId,
        actual: Actual,
        now: UnixMillis,
    ) {
        let used = actual.of(taken.unit).min(AMOUNT_MAX);
        let (name, held) = (taken.name(), taken.held);
        if !matches!(taken.from, From::Lease(_)) && used == held {
            return;
        }
        // Where nothing is stored any more, a refund has nowhere to go.
        let over = used > held;
        match &taken.from {
            From::Lease(_) => self.release(taken, hold),
            From::Fixed {
                period,
                rollover,
                charged,
            } => {
                let rollover = *rollover;
                let turns = Turns { period, rollover };
                if let Some(State::Fixed(window)) = self.cells.get_mut(Kind::Fixed, name) {
                    let open = !window.gives_way(period, now);
                    if over && !open {
                        window.advance(turns, now);
                    }
                    if over || open {
                        window.correct(*charged, held, used);
                    }
                } else if over {
                    let mut window = FixedWindow::empty(turns, now);
                    window.correct(*charged, held, used);
                    self.cells.put(hasher, name, State::Fixed(window));
                }
            }
            From::Window(taken_in) => {
                if let Some(State::Window(window)) = self.cells.get_mut(Kind::Window, name) {
                    window.advance(now);
                    window.correct(*taken_in, held, used);
                } else if over {
                    let mut window = Box::new(Window::empty(taken_in.sub_ms, now));
                    window.correct(*taken_in, held, used);
                    self.cells.put(hasher, name, State::Window(window));
                }
            }
            From::Bucket(rate) => {
                if let Some(State::Bucket(bucket)) = self.cells.get_mut(Kind::Bucket, name) {
                    bucket.advance(now);
                    bucket.correct(held, used);
                } else if over {
                    let mut bucket = Bucket::full(*rate, now);
                    bucket.correct(held, used);
                    self.cells.put(hasher, name, State::Bucket(bucket));
                }
            }
        }
    }

    /// Gives back a lease, where this is one.
    pub(super) fn release(&mut self, taken: &Taken, hold: HoldId) {
        if let From::Lease(expiry) = taken.from
            && let Some(leases) = self.leases(taken.name())
        {
            leases.release(hold, expiry);
            if leases.at_rest() {
                self.cells.remove(Kind::Leases, taken.name());
            }
        }
    }

    /// Moves a lease to a later expiry, where this is one; one that had lapsed is
    /// back.
    pub(super) fn renew(
        &mut self,
        hasher: &RandomState,
        taken: &mut Taken,
        hold: HoldId,
        later: UnixMillis,
        now: UnixMillis,
    ) {
        let name = Name::known(&taken.counter, taken.hash);
        let From::Lease(expiry) = &mut taken.from else {
            return;
        };
        match self.leases(name) {
            Some(leases) => {
                leases.advance(now);
                *expiry = leases.renew(hold, *expiry, later);
            }
            None => {
                let mut leases = Leases::default();
                *expiry = leases.renew(hold, *expiry, later);
                self.cells.put(hasher, name, State::Leases(leases));
            }
        }
    }

    /// Drops counters as if they were at rest, but not leases.
    pub(super) fn reset(&mut self, hasher: &RandomState, looks: &[Charge]) {
        for look in looks {
            let name = Name::new(hasher, &look.counter);
            for kind in [Kind::Fixed, Kind::Window, Kind::Bucket] {
                self.cells.remove(kind, name);
            }
        }
    }

    /// Drops counters that are back at rest, from a part of all.
    pub(super) fn sweep(&mut self, hasher: &RandomState, now: UnixMillis) -> Swept {
        self.cells.sweep(hasher, |state| match state {
            State::Fixed(window) => window.is_kept(now),
            State::Window(window) => {
                window.advance(now);
                !window.at_rest()
            }
            State::Bucket(bucket) => {
                bucket.advance(now);
                !bucket.at_rest()
            }
            State::Leases(leases) => {
                leases.advance(now);
                !leases.at_rest()
            }
        })
    }

    pub(super) fn counters(&self) -> usize {
        self.cells.len()
    }

    fn leases(&mut self, name: Name) -> Option<&mut Leases> {
        match self.cells.get_mut(Kind::Leases, name) {
            Some(State::Leases(leases)) => Some(leases),
            _ => None,
        }
    }

    /// What is stored of a counter.
    fn stored(&mut self, name: Name, of: &Counter) -> Option<&mut State> {
        let kind = match of {
            Counter::Fixed { .. } => Kind::Fixed,
            Counter::Window { .. } => Kind::Window,
            Counter::Bucket(_) => Kind::Bucket,
            Counter::Leases { .. } => Kind::Leases,
        };
        self.cells.get_mut(kind, name)
    }
}
