//! Ending a hold for good: settle, and record what it was, once.

use super::Driver;
use crate::exchange::Settlement;
use crate::limits::Settled;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::task::coop::unconstrained;

/// How long a stream's end may wait for its settlement, which goes on behind
/// it.
const STREAM_WAITS_MAX: Duration = Duration::from_millis(50);

/// Attempts to reach the store. After the last the hold is left to expire,
/// which charges the reservation and records the call as estimated.
const ATTEMPTS_MAX: u32 = 8;

/// Attempts to give back what a store that gave no answer may have taken. The
/// call was refused, and when a store is gone there are many of them.
const GIVE_BACK_ATTEMPTS_MAX: u32 = 2;

/// The pause before the second attempt; it doubles from there (12.7 s in all).
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A settlement that the store has not answered yet.
pub(super) struct Underway(JoinHandle<()>);

impl Underway {
    /// Waits for it, though not for ever.
    pub(super) async fn wait(self) {
        // Only the waiting is bounded; the task goes on.
        let _ = tokio::time::timeout(STREAM_WAITS_MAX, self.0).await;
    }
}

/// Settles. A store in memory answers at once; `None` then. A remote one is
/// asked before this returns, so that it hears of the settlement before the
/// caller's next call; a task of its own waits for the answer, so that nothing
/// that happens to the caller can cut it short.
#[expect(
    clippy::disallowed_methods,
    reason = "a settlement outlives the call it settles"
)]
pub(super) fn start(driver: &Arc<Driver>, settlement: Settlement) -> Option<Underway> {
    // Unconstrained: tokio must not put off what has to be asked now.
    let mut work = Box::pin(unconstrained({
        let driver = Arc::clone(driver);
        async move { attempt_all(&driver, settlement).await }
    }));
    if work.as_mut().now_or_never().is_some() {
        return None;
    }
    // A drain waits for it as for an open call.
    driver.open.enter();
    let driver = Arc::clone(driver);
    Some(Underway(tokio::spawn(async move {
        work.await;
        driver.open.leave();
    })))
}

/// Settles, as often as it takes.
pub(super) async fn attempt_all(driver: &Driver, settlement: Settlement) {
    let Settlement {
        slot,
        hold,
        actual,
        event,
    } = settlement;
    let mut pause = FIRST_PAUSE;
    let attempts_max = match event {
        Some(_) => ATTEMPTS_MAX,
        None => GIVE_BACK_ATTEMPTS_MAX,
    };
    for attempt in 1..=attempts_max {
        let now = driver.clock.now();
        match driver.counters.settle(&slot, hold, actual, now).await {
            Ok(settled) => {
                driver.leases.release(hold);
                // After an attempt that seemed to fail, a settled hold was settled
                // by that attempt: nobody else does. Of a hold that expired,
                // whoever took it tells. One that the store lost has nobody
                // else to tell of it.
                let ended_here = match settled {
                    Settled::Applied | Settled::Unknown => true,
                    Settled::Already => attempt > 1,
                    Settled::Expired => false,
                };
                if let Some(event) = event.filter(|_| ended_here) {
                    driver.recorder.record(event);
                }
                return;
            }
            Err(error) => {
                driver.recorder.counter_error(&error);
                tracing::warn!(%error, attempt, %hold, "a settlement failed");
            }
        }
        if attempt < attempts_max {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    driver.leases.release(hold);
    tracing::error!(%hold, "a settlement was given up; its hold will expire and be recorded as estimated");
}
