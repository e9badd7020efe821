//! The counters of one slot.

use super::Map;
use crate::limits::concurrency::Leases;
use crate::limits::counter::{Counter, Rule};
use crate::limits::fixed_window::FixedWindow;
use crate::limits::period::Period;
use crate::limits::sliding_window::{TakenIn, Window};
use crate::limits::token_bucket::{Bucket, Rate};
use crate::limits::{AMOUNT_MAX, Actual, Charge, HoldId, Unit};
use crate::units::UnixMillis;
use std::sync::Arc;

/// By counter name. A counter that isn't there is at rest.
#[derive(Debug, Default)]
pub(super) struct Slot {
    fixed: Map<Arc<str>, FixedWindow>,
    windows: Map<Arc<str>, Window>,
    buckets: Map<Arc<str>, Bucket>,
    leases: Map<Arc<str>, Leases>,
}

/// What a hold took from one counter.
#[derive(Debug)]
pub(super) struct Taken {
    counter: Arc<str>,
    unit: Unit,
    held: u64,
    from: From,
}

#[derive(Debug)]
enum From {
    Fixed {
        period: Arc<Period>,
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

    pub(super) fn is_of(&self, charge: &Charge) -> bool {
        self.counter == charge.counter
    }
}

impl Slot {
    /// A counter as it stands, brought up to now; stores nothing.
    pub(super) fn read<'l>(&self, rule: Rule<'l>, name: &str, now: UnixMillis) -> Counter<'l> {
        match rule {
            Rule::Fixed { limit, period } => {
                let stored = self.fixed.get(name).copied();
                let mut window = stored.unwrap_or_else(|| FixedWindow::empty(period, now));
                window.advance(period, now);
                Counter::Fixed {
                    limit,
                    period,
                    window,
                }
            }
            Rule::Window { limit, sub_ms } => {
                let stored = self.windows.get(name).copied();
                let mut window = stored.unwrap_or_else(|| Window::empty(sub_ms, now));
                window.advance(now);
                window.adopt(sub_ms, now);
                Counter::Window { limit, window }
            }
            Rule::Bucket(rate) => {
                let stored = self.buckets.get(name).copied();
                let mut bucket = stored.unwrap_or_else(|| Bucket::full(rate, now));
                bucket.advance(now);
                bucket.adopt(rate);
                Counter::Bucket(bucket)
            }
            Rule::Leases { limit } => {
                let stored = self.leases.get(name);
                let occupancy = stored.map(Leases::occupancy).unwrap_or_default();
                Counter::Leases { limit, occupancy }
            }
        }
    }

    /// Forgets the leases that have expired. Before [`Slot::read`].
    pub(super) fn advance_leases(&mut self, name: &str, now: UnixMillis) {
        if let Some(leases) = self.leases.get_mut(name) {
            leases.advance(now);
        }
    }

    /// Stores counters whose limit has changed since they were stored, though
    /// the call was refused: else each call that comes would find them as they
    /// were, and none would pass when it was told to.
    pub(super) fn adopt(&mut self, charges: &[Charge], counters: &[Counter]) {
        for (charge, counter) in charges.iter().zip(counters) {
            let name = &charge.counter;
            match counter {
                Counter::Fixed { window, .. } => {
                    let stored = self.fixed.get_mut(name);
                    if let Some(stored) = stored.filter(|_| !window.at_rest()) {
                        *stored = *window;
                    }
                }
                Counter::Window { window, .. } => {
                    let stored = self.windows.get_mut(name);
                    if let Some(stored) = stored.filter(|stored| !stored.is_cut_like(window)) {
                        *stored = *window;
                    }
                }
                Counter::Bucket(bucket) => {
                    let stored = self.buckets.get_mut(name);
                    if let Some(stored) = stored.filter(|stored| stored.rate() != bucket.rate()) {
                        *stored = *bucket;
                    }
                }
                Counter::Leases { .. } => {}
            }
        }
    }

    /// Charges a counter that admits, and stores it.
    pub(super) fn take(
        &mut self,
        charge: &Charge,
        counter: &mut Counter,
        hold: HoldId,
        lease_expiry: UnixMillis,
    ) -> Taken {
        let from = match counter {
            Counter::Fixed { window, period, .. } => {
                let charged = window.take(charge.amount);
                put(&mut self.fixed, &charge.counter, *window);
                From::Fixed {
                    period: Arc::clone(period),
                    charged,
                }
            }
            Counter::Window { window, .. } => {
                let taken_in = window.take(charge.amount);
                put(&mut self.windows, &charge.counter, *window);
                From::Window(taken_in)
            }
            Counter::Bucket(bucket) => {
                bucket.take(charge.amount);
                put(&mut self.buckets, &charge.counter, *bucket);
                From::Bucket(bucket.rate())
            }
            Counter::Leases { occupancy, .. } => {
                occupancy.take();
                let leases = self.leases.entry(Arc::clone(&charge.counter)).or_default();
                leases.take(hold, lease_expiry);
                From::Lease(lease_expiry)
            }
        };
        Taken {
            counter: Arc::clone(&charge.counter),
            unit: charge.limit.unit,
            held: charge.amount,
            from,
        }
    }

    /// Charges a counter for good, and stores it. Leases aren't charged so.
    pub(super) fn charge(&mut self, charge: &Charge, counter: &mut Counter) {
        let (name, amount) = (&charge.counter, charge.amount);
        if amount == 0 {
            return;
        }
        match counter {
            Counter::Fixed { window, .. } => {
                window.take(amount);
                put(&mut self.fixed, name, *window);
            }
            Counter::Window { window, .. } => {
                window.take(amount);
                put(&mut self.windows, name, *window);
            }
            Counter::Bucket(bucket) => {
                bucket.take(amount);
                put(&mut self.buckets, name, *bucket);
            }
            Counter::Leases { .. } => {}
        }
    }

    /// Replaces what was held by what was used.
    pub(super) fn correct(&mut self, taken: Taken, hold: HoldId, actual: Actual, now: UnixMillis) {
        let used = actual.of(taken.unit).min(AMOUNT_MAX);
        let held = taken.held;
        match taken.from {
            From::Lease(_) => self.release(&taken, hold),
            _ if used == held => {}
            From::Fixed { period, charged } => {
                let stored = self.fixed.get(&taken.counter).copied();
                let current = stored.filter(|window| !window.gives_way(&period, now));
                let fresh = (used > held).then(|| FixedWindow::empty(&period, now));
                if let Some(mut window) = current.or(fresh) {
                    window.correct(charged, held, used);
                    self.fixed.insert(taken.counter, window);
                }
            }
            From::Window(taken_in) => {
                let stored = self.windows.get(&taken.counter).copied();
                // Where nothing is stored any more, a refund has nowhere to go.
                let fresh = (used > held).then(|| Window::empty(taken_in.sub_ms, now));
                if let Some(mut window) = stored.or(fresh) {
                    window.advance(now);
                    window.correct(taken_in, held, used);
                    self.windows.insert(taken.counter, window);
                }
            }
            From::Bucket(rate) => {
                let stored = self.buckets.get(&taken.counter).copied();
                let fresh = (used > held).then(|| Bucket::full(rate, now));
                if let Some(mut bucket) = stored.or(fresh) {
                    bucket.advance(now);
                    bucket.correct(held, used);
                    self.buckets.insert(taken.counter, bucket);
                }
            }
        }
    }

    /// Gives back a lease, where this is one.
    pub(super) fn release(&mut self, taken: &Taken, hold: HoldId) {
        if let From::Lease(expiry) = taken.from
            && let Some(leases) = self.leases.get_mut(&taken.counter)
        {
            leases.release(hold, expiry);
            if leases.at_rest() {
                self.leases.remove(&taken.counter);
            }
        }
    }

    /// Moves a lease that is still there to a later expiry, where this is one.
    pub(super) fn renew(
        &mut self,
        taken: &mut Taken,
        hold: HoldId,
        later: UnixMillis,
        now: UnixMillis,
    ) {
        if let From::Lease(expiry) = &mut taken.from
            && let Some(leases) = self.leases.get_mut(&taken.counter)
        {
            leases.advance(now);
            if leases.renew(hold, *expiry, later) {
                *expiry = later.max(*expiry);
            }
        }
    }

    /// Drops counters as if they were at rest.
    pub(super) fn reset(&mut self, looks: &[Charge]) {
        for look in looks {
            self.fixed.remove(&look.counter);
            self.windows.remove(&look.counter);
            self.buckets.remove(&look.counter);
        }
    }

    /// Drops counters that are back at rest.
    pub(super) fn sweep(&mut self, now: UnixMillis) {
        self.fixed
            .retain(|_, window| !window.at_rest() && !window.is_over(now));
        self.windows.retain(|_, window| {
            window.advance(now);
            !window.at_rest()
        });
        self.buckets.retain(|_, bucket| {
            bucket.advance(now);
            !bucket.at_rest()
        });
        self.leases.retain(|_, leases| {
            leases.advance(now);
            !leases.at_rest()
        });
    }

    pub(super) fn counters(&self) -> usize {
        self.fixed.len() + self.windows.len() + self.buckets.len() + self.leases.len()
    }
}

/// Without a new key where there is one.
fn put<T>(map: &mut Map<Arc<str>, T>, name: &Arc<str>, value: T) {
    match map.get_mut(name) {
        Some(stored) => *stored = value,
        None => {
            map.insert(Arc::clone(name), value);
        }
    }
}
