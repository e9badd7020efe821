//! Carries out what exchanges ask for: reservations, settlements, records.
//!
//! A [`Session`] is one exchange with its driver. It survives being dropped at
//! any point: what is owed is then settled by a task of its own, so a client
//! that vanishes never leaves a hold or a slot behind.
//!
//! Always holds: a settlement, once begun, is never cancelled, and is asked
//! again until the store has answered; an event is recorded only by whoever
//! ended the hold, so there is one for each call.

mod charge;
pub mod clock;
mod denials;
mod leases;
mod record;
mod reserve;
mod session;
mod settle;
mod unsettled;
mod upkeep;

pub use leases::Leases;
pub use record::Recorder;
pub use session::Session;
pub use upkeep::Upkeep;

use crate::counters::Counters;
use crate::exchange::{Exchange, Role, Settings};
use crate::limits::HoldId;
use crate::policy::Snapshot;
use arc_swap::ArcSwap;
use clock::Clock;
use denials::Denials;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use unsettled::Unsettled;

/// What all sessions of a process share.
pub struct Driver {
    snapshot: ArcSwap<Snapshot>,
    settings: Settings,
    counters: Counters,
    recorder: Recorder,
    leases: Leases,
    unsettled: Unsettled,
    denials: Denials,
    clock: Clock,
    open: Arc<OpenSessions>,
    /// Set when draining has lasted long enough: what is open is settled and
    /// ended now.
    cut: CancellationToken,
}

/// How many sessions are open, and a bell for when none is.
#[derive(Default)]
struct OpenSessions {
    count: AtomicUsize,
    none: Notify,
}

impl Driver {
    pub fn new(
        snapshot: Arc<Snapshot>,
        settings: Settings,
        counters: Counters,
        recorder: Recorder,
        leases: Leases,
    ) -> Arc<Self> {
        Arc::new(Self {
            snapshot: ArcSwap::from(snapshot),
            settings,
            counters,
            recorder,
            leases,
            unsettled: Unsettled::default(),
            denials: Denials::default(),
            clock: Clock::start(),
            open: Arc::default(),
            cut: CancellationToken::new(),
        })
    }

    /// A session for a call whose stream just opened.
    pub fn begin(self: &Arc<Self>, role: Role) -> Session {
        let now = self.clock.now();
        let random = clock::random();
        let hold = HoldId::new(now, &random.id);
        let snapshot = self.snapshot.load_full();
        let exchange = Exchange::new(role, self.settings, snapshot, hold, random.seed);
        Session::new(Arc::clone(self), exchange, role)
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub fn settings(&self) -> Settings {
        self.settings
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Resolves when no session is open.
    pub async fn idle(&self) {
        loop {
            let none = self.open.none.notified();
            if self.open.count.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }

    /// Resolves when the store has answered every settlement.
    pub async fn settled(&self) {
        self.unsettled.emptied().await;
    }

    /// Records what the store has not answered. Before the process stops.
    pub fn record_unanswered(&self) {
        unsettled::record_unanswered(self);
    }

    /// Cancelled when draining has lasted long enough.
    pub fn cut_token(&self) -> &CancellationToken {
        &self.cut
    }

    /// Ends what is still open: each session settles and its stream fails.
    pub fn cut_sessions(&self) {
        self.cut.cancel();
    }
}

impl OpenSessions {
    fn enter(self: &Arc<Self>) -> Opened {
        self.count.fetch_add(1, Ordering::AcqRel);
        Opened(Arc::clone(self))
    }
}

/// Counts as an open session until it is dropped, whatever happens to its
/// owner.
struct Opened(Arc<OpenSessions>);

impl Drop for Opened {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
