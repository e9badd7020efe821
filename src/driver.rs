//! Carries out what exchanges ask for: reservations, settlements, records.
//!
//! A [`Session`] is one exchange with its driver. It survives being dropped at
//! any point: what is owed is then settled by a task of its own, so a client
//! that vanishes never leaves a hold or a slot behind.
//!
//! A remote store that fails is left alone (`breaker`) while this sidecar gives
//! out its share of each limit (`local`, from what is `known`); it is told of
//! that when it is back (`merge`). One that lost what it knew is told again, from
//! the ledger and from here (`losses`, `rebuild`).
//!
//! Always holds: a settlement, once begun, is never cancelled, and is asked
//! again until the store has answered; an event is recorded only by whoever
//! ended the hold, so there is one for each call. Where a process died with it, or
//! its disk was slow, another may record it too (`expiry`), under the same id.

mod books;
mod breaker;
mod carried;
mod charge;
mod check;
pub mod clock;
mod crowd;
mod denials;
mod expiry;
mod explain;
mod inspect;
mod known;
mod learning;
mod leases;
mod local;
mod losses;
mod merge;
mod past;
mod rebuild;
mod record;
mod refused_tolls;
mod renewal;
mod reserve;
mod session;
mod settle;
mod unsettled;
mod upkeep;

pub use inspect::{COUNTERS_MAX, InspectError, Inspected, Page, Reset, Standings};
pub use leases::Leases;
pub use merge::Merge;
pub use past::{PastError, explain_past};
pub use rebuild::{LedgerSource, LeftOut, Outcome, Rebuild, RebuildError, Rebuilt, RebuiltLimit};
pub use record::Recorder;
pub use session::{Session, Wait};
pub use upkeep::Upkeep;

use crate::counters::{CounterError, Counters};
use crate::exchange::{
    Exchange, Notice, OpenCall, Role, Settings, UsageEvent, event, expired_event,
    interrupted_settlement,
};
use crate::limits::share::OnCounterFailure;
use crate::limits::{Actual, HoldId, Reservation};
use crate::policy::Snapshot;
use crate::policy::token_ratios::RatioLearner;
use crate::tokens::{Counting, Stopwatch};
use arc_swap::ArcSwap;
use breaker::Breaker;
use clock::{Clock, Monotonic};
use denials::Denials;
use expiry::Telling;
use known::Known;
use learning::Learning;
use local::Local;
use losses::Losses;
use refused_tolls::RefusedTolls;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use unsettled::Unsettled;

/// What all sessions of a process share.
pub struct Driver {
    snapshot: ArcSwap<Snapshot>,
    /// Held by whoever puts another in its place.
    changing: Mutex<()>,
    settings: Settings,
    counters: Counters,
    recorder: Recorder,
    leases: Leases,
    unsettled: Unsettled,
    telling: Telling,
    denials: Denials,
    refused_tolls: RefusedTolls,
    learning: Learning,
    /// Calls that are held back.
    crowd: crowd::Crowd,
    /// Who is told what others than callers are to hear.
    listener: OnceLock<Box<dyn Listener>>,
    stopwatch: Arc<dyn Stopwatch>,
    breaker: Breaker,
    known: Known,
    local: Local,
    losses: Losses,
    /// What counters are rebuilt from, and who waits to hear that they were.
    ledger: OnceLock<LedgerSource>,
    asks: rebuild::Asks,
    /// This process's name among the sidecars of the store.
    sidecar: String,
    clock: Clock,
    open: Arc<OpenSessions>,
    /// Set when draining has lasted long enough: what is open is settled and
    /// ended now.
    cut: CancellationToken,
}

/// Whoever is told of what others than callers are to hear. Never waits.
pub trait Listener: Send + Sync {
    fn heard(&self, notice: &Notice);

    /// A call of this tenant was refused, for whatever reason.
    fn refused(&self, tenant: &Arc<str>);
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
        on_failure: OnCounterFailure,
    ) -> Arc<Self> {
        let clock = Clock::start();
        Arc::new(Self {
            breaker: Breaker::new(counters.lanes()),
            known: Known::new(counters.is_remote() && on_failure == OnCounterFailure::Share),
            local: Local::new(on_failure),
            losses: Losses::default(),
            ledger: OnceLock::new(),
            asks: rebuild::Asks::default(),
            sidecar: HoldId::new(clock.now(), &clock::random().id).to_string(),
            snapshot: ArcSwap::from(snapshot),
            changing: Mutex::default(),
            settings,
            counters,
            recorder,
            leases,
            unsettled: Unsettled::default(),
            telling: Telling::default(),
            denials: Denials::default(),
            refused_tolls: RefusedTolls::default(),
            learning: Learning::default(),
            crowd: crowd::Crowd::default(),
            listener: OnceLock::new(),
            stopwatch: Arc::new(Monotonic::start()),
            clock,
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
        let learned = self.learning.known();
        let counting = Counting::new(random.seed, Arc::clone(&self.stopwatch));
        let exchange = Exchange::new(role, self.settings, snapshot, learned, hold, counting);
        Session::new(Arc::clone(self), exchange, role)
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts what `change` makes of the snapshot in its place. Those who do so take
    /// turns, so that none undoes what another did; calls go on with the one that
    /// they began with.
    pub fn change_snapshot(&self, change: impl FnOnce(&Snapshot) -> Snapshot) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&self.snapshot.load());
        self.snapshot.store(Arc::new(changed));
    }

    /// Sets who hears of notices, once.
    pub fn listen(&self, listener: Box<dyn Listener>) {
        // Set before the first call; a second one would hear nothing.
        let _ = self.listener.set(listener);
    }

    fn heard(&self, notice: Notice) {
        if let Some(listener) = self.listener.get() {
            listener.heard(&notice);
        }
        match notice {
            Notice::Approval(request) => self.recorder.ask(*request),
            Notice::Budget { .. } => {}
        }
    }

    /// Records what became of a call.
    fn record(&self, event: UsageEvent) {
        if event.outcome == event::Outcome::Refused
            && let Some(tenant) = &event.tenant
            && let Some(listener) = self.listener.get()
        {
            listener.refused(tenant);
        }
        self.recorder.record(event);
    }

    /// No refusal of before is believed any more: limits may have changed. What the
    /// store counts stays as it is.
    pub fn forget_refusals(&self) {
        self.denials.forget_all();
        self.refused_tolls.forget_all();
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

    /// Tells the store that this sidecar is there, before the first call.
    pub async fn join(&self) -> Result<(), CounterError> {
        let beat = self.counters.beat(0, &self.sidecar, merge::ALIVE_FOR);
        let sidecars = beat.await?;
        self.local.set_sidecars(sidecars);
        self.recorder.store(sidecars, self.breaker.away());
        Ok(())
    }

    /// Records a call that was open when the process before this one died, and ends
    /// its hold where the store still knows it. Whoever else has told of it used
    /// the same id.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing waits for it: what a store doesn't answer is asked again"
    )]
    pub fn settle_interrupted(self: &Arc<Self>, call: &OpenCall) {
        let mut settlement = interrupted_settlement(call, self.clock.now());
        if let Some(event) = settlement.event.take() {
            self.recorder.record(event);
        }
        if self.counters.is_remote() {
            let driver = Arc::clone(self);
            tokio::spawn(async move { unsettled::settle(&driver, settlement).await });
        }
    }

    /// The same of a call that can't be settled, as its price isn't known: its hold
    /// expires, and stays charged as it was held.
    pub fn record_interrupted(&self, call: &OpenCall) {
        self.recorder.record(expired_event(call, self.clock.now()));
    }

    /// A lane of the store answered.
    fn answered(&self, lane: usize) {
        self.breaker.answered(lane);
    }

    /// The store did not answer what it was asked of this slot, or refused it.
    fn failed(&self, slot: &Arc<str>, error: &CounterError) {
        if matches!(error, CounterError::Corrupt(_)) && self.counters.is_remote() {
            self.local.odd(slot, self.clock.now());
        }
        self.lane_failed(self.counters.lane(slot), error);
    }

    /// A lane of the store did not answer, or refuses everybody.
    fn lane_failed(&self, lane: usize, error: &CounterError) {
        if !error.is_of_the_store() || !self.counters.is_remote() || !self.breaker.failed(lane) {
            return;
        }
        tracing::warn!(%error, lane, "the counter store is away; it is looked for");
        self.recorder.lanes_away(self.breaker.away());
        self.carry_over(|taken| self.counters.lane(&taken.slot) == lane);
        self.local.stirred.notify_one();
    }

    /// Goes on from what was learned before.
    pub fn go_on_from(&self, ratios: RatioLearner) {
        self.learning.go_on_from(ratios, self.clock.now());
    }

    /// What was learned of the models' tokens, to be kept.
    pub fn ratios_json(&self) -> String {
        self.learning.ratios_json()
    }

    /// The leases of calls that are open count in this sidecar's share too.
    fn carry_over(&self, wanted: impl Fn(&Reservation) -> bool) {
        let now = self.clock.now();
        for call in self.leases.open_calls(wanted) {
            let hold = call.hold;
            // One that was over in between did not find itself in the books.
            if self.local.carry_over(call, now) && !self.leases.is_open(hold) {
                self.local.end(hold, Actual::VOID, now);
            }
        }
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

    /// Resolves when the store has answered every settlement, and knows what was
    /// admitted without it.
    pub async fn settled(&self) {
        self.unsettled.emptied().await;
        self.local.told_all().await;
    }

    /// Records what the store has not answered, and says what it was not told.
    /// Before the process stops.
    pub fn record_unanswered(&self) {
        unsettled::record_unanswered(self);
        let (calls, counters) = self.local.untold_len();
        if calls + counters > 0 {
            tracing::error!(
                calls,
                counters,
                "the counter store was not told of what was admitted while it was away; what \
                 these calls used, and others of these counters, is charged nowhere"
            );
        }
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

#[cfg(test)]
pub(crate) mod tests;
