//! Ending a hold for good: settle, and record what it was, once.

use super::Driver;
use crate::counters::Counters;
use crate::exchange::Settlement;
use crate::limits::Settled;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer's end may wait for its settlement. After that the answer
/// goes on and the settlement finishes behind it.
const ANSWER_WAITS_MAX: Duration = Duration::from_millis(50);

/// Attempts to reach the store. After the last the hold is left to expire,
/// which charges the reservation and records the call as estimated.
const ATTEMPTS_MAX: u32 = 8;

/// Attempts to give back what a store that gave no answer may have taken. The
/// call was refused, and when a store is gone there are many of them.
const GIVE_BACK_ATTEMPTS_MAX: u32 = 2;

/// The pause before the second attempt; it doubles from there (12.7 s in all).
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Settles. A store in memory answers at once; a remote one is asked by a task
/// of its own, so that nothing that happens to the caller can cut it short.
#[expect(
    clippy::disallowed_methods,
    reason = "a settlement outlives the call it settles"
)]
pub(super) async fn run(driver: &Arc<Driver>, settlement: Settlement) {
    if matches!(driver.counters, Counters::Memory(_)) {
        attempt_all(driver, settlement).await;
        return;
    }
    // A drain waits for it as for an open call.
    driver.open.enter();
    let task = tokio::spawn({
        let driver = Arc::clone(driver);
        async move {
            attempt_all(&driver, settlement).await;
            driver.open.leave();
        }
    });
    // Only the waiting is bounded; the task goes on.
    let _ = tokio::time::timeout(ANSWER_WAITS_MAX, task).await;
}

async fn attempt_all(driver: &Driver, settlement: Settlement) {
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
                // After an attempt that seemed to fail, an ended hold was ended by
                // that attempt: nobody else settles it, and it can't have
                // expired meanwhile, as a hold lives far longer than all
                // attempts together.
                let ended_here = settled == Settled::Applied || attempt > 1;
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
