//! Holds that nobody settled: taken over from the store, whoever opened them,
//! recorded, and only then told of to the store.
//!
//! Always holds: a hold is told of once its row is safe in this sidecar's spool.
//! Who dies before leaves it to another, who is handed it when the claim is over;
//! who is slow may not be the only one to record it, but every row of it has its
//! id, by which sinks take one.

use super::Driver;
use crate::counters::{CounterError, ExpiredHold};
use crate::exchange::{OpenCall, UsageEvent, expired_event};
use crate::ledger::faults::die;
use crate::limits::HoldId;
use crate::units::{Millis, UnixMillis};
use futures_util::FutureExt;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

/// The most expired holds whose rows are on their way to the disk.
const TELLING_MAX: usize = 1_000;

/// How often the store is told before it is left to hand them out again.
const TELL_TRIES: usize = 3;

/// Holds whose rows are on their way to the disk.
#[derive(Default)]
pub(super) struct Telling {
    holds: Mutex<HashSet<HoldId>>,
}

impl Telling {
    fn room(&self) -> usize {
        TELLING_MAX.saturating_sub(self.lock().len())
    }

    /// False where it is under way: its claim was over before its row was safe.
    fn begin(&self, hold: HoldId) -> bool {
        self.lock().insert(hold)
    }

    fn end(&self, holds: &[ExpiredHold]) {
        let mut telling = self.lock();
        for hold in holds {
            telling.remove(&hold.hold);
        }
    }

    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        !self.lock().is_empty()
    }

    /// A panic while it was locked left it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, HashSet<HoldId>> {
        self.holds
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Takes over what is due, as far as the disk keeps up, and records each as an
/// estimated call.
#[expect(
    clippy::disallowed_methods,
    reason = "a disk that hangs must not hold up the renewal of leases"
)]
pub(super) async fn expire(driver: &Arc<Driver>) -> Result<(), CounterError> {
    let room = driver.telling.room();
    if room == 0 {
        return Ok(());
    }
    let now = driver.clock.now();
    let claim = claim(driver);
    let mut expired = driver.counters.expire_due(now, room, claim).await?;
    if !expired.is_empty() {
        die("die::expired");
    }
    expired.retain(|hold| driver.telling.begin(hold.hold));
    let events: Vec<UsageEvent> = expired
        .iter()
        .filter_map(|hold| event_of(driver, hold, now))
        .collect();
    let mut telling = Box::pin(tell(Arc::clone(driver), expired, events));
    if telling.as_mut().now_or_never().is_none() {
        tokio::spawn(telling);
    }
    Ok(())
}

/// Who hasn't told of a hold after two lives of a lease is dead, or its disk hangs.
fn claim(driver: &Driver) -> Millis {
    Millis(driver.settings.lease_ttl.0.saturating_mul(2))
}

/// What is to be recorded of an expired hold, if anything is.
fn event_of(driver: &Driver, hold: &ExpiredHold, now: UnixMillis) -> Option<UsageEvent> {
    driver.leases.release(hold.hold);
    // The other part, if there is one, is kept no longer either.
    driver.leases.release(hold.hold.shared());
    // What the call came to is known here, or that it was refused.
    if let Some(settlement) = driver.unsettled.take(hold.hold) {
        return settlement.event;
    }
    if hold.hold.is_shared() {
        // The call is told of by its own part.
        return None;
    }
    let call = OpenCall::from_json(&hold.context);
    if call.is_none() {
        tracing::error!(hold = %hold.hold, "an expired hold's call can't be read");
        driver.recorder.forget(hold.hold);
    }
    call.map(|call| expired_event(&call, now))
}

/// Records the calls, and when that is safe, tells the store.
async fn tell(driver: Arc<Driver>, holds: Vec<ExpiredHold>, events: Vec<UsageEvent>) {
    if driver.recorder.record_safely(events).await {
        for _ in 0..TELL_TRIES {
            match driver.counters.told(&holds).await {
                Ok(()) => break,
                Err(error) => driver.recorder.counter_error(&error),
            }
        }
    }
    driver.telling.end(&holds);
}
