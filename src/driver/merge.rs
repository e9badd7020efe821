//! Finding a store that was away, and telling it what was admitted meanwhile.
//!
//! A lane that is open is asked by this task alone, with a script that writes.
//! When it has answered well several times in a row it is told of the calls
//! that are open, then of what others used, and that those which it has had all
//! along are open still; only then is it asked by calls again.
//! What it is told, it is told under one name however often, so a lost answer
//! charges nothing twice.

use super::Driver;
use super::books::Debt;
use super::carried::one_charge;
use super::clock;
use super::renewal;
use super::reserve::learn;
use crate::counters::CounterError;
use crate::limits::{Actual, Decision, HoldId, Reservation};
use crate::units::Millis;
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The pause between looks at a store that is away; it doubles up to the
/// longest.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(50);
const LOOK_EVERY_MAX: Duration = Duration::from_millis(400);

/// Good answers in a row, after which a store is taken to be back.
const GOOD_LOOKS: u32 = 3;

/// After the store was told of everything here, others may take so long to tell it
/// too: the longest pause between looks, [`RECONNECT_AFTER`], a connection that
/// can't be opened within its default time, and some looks.
const RETURNS_FOR: Duration = Duration::from_secs(3);

/// A connection that answers nothing for so long is left for another.
const RECONNECT_AFTER: Duration = Duration::from_millis(1_000);

/// How long a sidecar counts as alive after its last sign.
pub(super) const ALIVE_FOR: Millis = Millis(15_000);

/// What is told together.
const TOGETHER_MAX: usize = 64;

/// Looks after the lanes that are open.
pub struct Merge {
    driver: Arc<Driver>,
    /// Good looks in a row, by lane.
    good: HashMap<usize, u32>,
    /// Since when lanes are returning.
    returning: HashMap<usize, Instant>,
    pub(super) returns_for: Duration,
    pause: Duration,
    connected_at: Instant,
}

impl Merge {
    pub fn new(driver: Arc<Driver>) -> Self {
        Self {
            connected_at: driver.clock.instant(),
            driver,
            good: HashMap::new(),
            returning: HashMap::new(),
            returns_for: RETURNS_FOR,
            pause: LOOK_EVERY_MIN,
        }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let driver = Arc::clone(&self.driver);
            let idle = driver.breaker.away() == 0 && !driver.local.has_news();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // At once, as calls go on asking a store that failed but a few.
                () = driver.local.stirred.notified(), if idle => self.round().await,
                () = tokio::time::sleep(self.pause), if !idle => self.round().await,
            }
        }
    }

    pub(super) async fn round(&mut self) {
        let driver = Arc::clone(&self.driver);
        let away = driver.breaker.open_lanes();
        self.good.retain(|lane, _| away.contains(lane));
        let mut better = away.is_empty();
        for lane in away {
            match self.look(lane).await {
                Ok(()) => better = true,
                Err(error) => {
                    tracing::debug!(%error, lane, "the counter store is away still");
                    self.good.remove(&lane);
                    self.reconnect(&error).await;
                }
            }
        }
        self.pause = match better {
            true => LOOK_EVERY_MIN,
            false => (self.pause * 2).min(LOOK_EVERY_MAX),
        };
        self.close();
        // What a lane did not answer while it was never taken to be away, and what
        // came in since it was told.
        let asked = |slot: &str| !driver.breaker.is_open(driver.counters.lane(slot));
        if let Err(error) = tell(&driver, &asked).await {
            tracing::debug!(%error, "the counter store could not be told; it is tried again");
        }
        let closed = |slot: &str| driver.breaker.is_closed(driver.counters.lane(slot));
        driver.local.close(closed, driver.clock.now());
    }

    /// Closes the lanes of which all sidecars have told the store.
    fn close(&mut self) {
        let (driver, now) = (&self.driver, self.driver.clock.instant());
        // With nobody beside it, a sidecar's share is the limit.
        let wait = match driver.local.is_one_of_many() {
            true => self.returns_for,
            false => Duration::ZERO,
        };
        self.returning.retain(|lane, since| {
            if driver.breaker.is_returning(*lane) && now.duration_since(*since) >= wait {
                driver.breaker.close(*lane);
                tracing::warn!(
                    lane,
                    "the counter store is back, and knows what was admitted"
                );
            }
            driver.breaker.is_returning(*lane)
        });
        driver.recorder.lanes_away(driver.breaker.away());
    }

    /// One look at a lane that is open; has it asked again when it is back.
    async fn look(&mut self, lane: usize) -> Result<(), CounterError> {
        let driver = &self.driver;
        let sidecars = driver
            .counters
            .beat(lane, &driver.sidecar, ALIVE_FOR)
            .await?;
        let good = self.good.entry(lane).or_default();
        *good += 1;
        if *good < GOOD_LOOKS {
            return Ok(());
        }
        driver.local.raise_sidecars(sidecars);
        let in_lane = |slot: &str| driver.counters.lane(slot) == lane;
        tell(driver, &in_lane).await?;
        renewal::renew(driver, in_lane).await?;
        driver.breaker.returns(lane);
        self.returning.insert(lane, driver.clock.instant());
        self.good.remove(&lane);
        Ok(())
    }

    async fn reconnect(&mut self, error: &CounterError) {
        let now = self.driver.clock.instant();
        if now.duration_since(self.connected_at) < RECONNECT_AFTER {
            return;
        }
        tracing::debug!(%error, "another connection to the counter store is tried");
        if let Err(error) = self.driver.counters.reconnect().await {
            tracing::debug!(%error, "no connection to the counter store");
        }
        self.connected_at = self.driver.clock.instant();
    }
}

/// Tells the store what was admitted in these slots, and what became of it.
async fn tell(driver: &Driver, wanted: &impl Fn(&str) -> bool) -> Result<(), CounterError> {
    // What comes in meanwhile is told in the next round.
    let calls = driver.local.untold(wanted);
    let mut told = stream::iter(calls)
        .map(|call| tell_call(driver, call))
        .buffer_unordered(TOGETHER_MAX);
    while let Some(outcome) = told.next().await {
        outcome?;
    }
    drop(told);
    // Each is looked up when its turn comes, so that calls never wait long for
    // the books.
    let mut told = stream::iter(driver.local.owing(wanted))
        .map(|counter| async move {
            let new_hold = || HoldId::new(driver.clock.now(), &clock::random().id).shared();
            let debt = driver.local.debt(&counter, new_hold, driver.clock.now());
            match debt {
                Some(debt) => tell_debt(driver, debt).await,
                None => Ok(()),
            }
        })
        .buffer_unordered(TOGETHER_MAX);
    while let Some(outcome) = told.next().await {
        outcome?;
    }
    Ok(())
}

async fn tell_call(driver: &Driver, call: Arc<Reservation>) -> Result<(), CounterError> {
    if !driver.local.is_reserved(call.hold) {
        let first = driver.local.asks_first(call.hold);
        match sound(reserve(driver, &call.unrefused()).await)? {
            None => {
                driver.local.strike(call.hold);
                return Ok(());
            }
            // A meter elsewhere was faster, and had nothing to charge.
            Some(Decision::Ended) if first => {
                driver.local.ended_elsewhere(&call);
                driver.leases.release(call.hold);
                return Ok(());
            }
            Some(_) => {}
        }
    }
    if let Some(actual) = driver.local.told(call.hold) {
        settle(driver, &call.slot, call.hold, actual).await?;
        driver.known.settled(&call, actual, driver.clock.now());
        driver.local.strike(call.hold);
    }
    Ok(())
}

async fn tell_debt(driver: &Driver, debt: Debt) -> Result<(), CounterError> {
    if debt.amount > 0 {
        let mut charge = one_charge(
            debt.hold,
            &debt.slot,
            &debt.counter,
            &debt.limit,
            debt.amount,
        );
        charge.hold_ttl = driver.settings.hold_ttl;
        charge.lease_ttl = driver.settings.lease_ttl;
        if sound(reserve(driver, &charge).await)?.is_some() {
            // It is charged now, whatever becomes of the hold: settled, it is
            // gone sooner than it would expire.
            driver.local.paid(&debt);
            let actual = Actual::only(debt.limit.unit, debt.amount);
            return settle(driver, &debt.slot, debt.hold, actual).await;
        }
    }
    driver.local.paid(&debt);
    Ok(())
}

async fn reserve(driver: &Driver, call: &Reservation) -> Result<Decision, CounterError> {
    let reserved = driver.counters.reserve(call, driver.clock.now()).await;
    if let Ok(decision) = &reserved {
        // For the next outage, which may come before any call asks.
        learn(driver, call, decision);
    }
    heard(driver, &call.slot, reserved)
}

/// Notes how the lane took it.
fn heard<T>(
    driver: &Driver,
    slot: &Arc<str>,
    answer: Result<T, CounterError>,
) -> Result<T, CounterError> {
    match &answer {
        Ok(_) => driver.answered(driver.counters.lane(slot)),
        Err(error) => {
            driver.recorder.counter_error(error);
            driver.failed(slot, error);
        }
    }
    answer
}

async fn settle(
    driver: &Driver,
    slot: &Arc<str>,
    hold: HoldId,
    actual: Actual,
) -> Result<(), CounterError> {
    let settled = driver
        .counters
        .settle(slot, hold, actual, driver.clock.now())
        .await;
    sound(heard(driver, slot, settled)).map(|_| ())
}

/// What can't be told whenever it is tried is given up, lest all the rest wait
/// for it.
fn sound<T>(told: Result<T, CounterError>) -> Result<Option<T>, CounterError> {
    match told {
        Err(error) if !error.is_of_the_store() => {
            tracing::error!(%error, "the counter store can't take what was admitted meanwhile");
            Ok(None)
        }
        told => told.map(Some),
    }
}
