//! Telling the store that the calls of this process are open still.
//!
//! At intervals, and before a store that was away decides again: its leases may
//! have lapsed while their calls went on.

use super::Driver;
use crate::counters::CounterError;
use crate::limits::{Decision, HoldId};

/// Holds renewed at a time; where none of them is answered for, the rest wait.
const RENEWED_TOGETHER_MAX: usize = 256;

/// Renews the holds in slots of the caller's choice, but for those that the store
/// is still to be told of: they would seem lost to it. Ends with an error where it
/// is away.
pub(super) async fn renew(
    driver: &Driver,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), CounterError> {
    let settings = driver.settings;
    // Whoever adopted it, and lives, tells of it; else whoever finds it expired.
    // Of a store in memory that is this process: the note stays until then.
    let elsewhere = driver.counters.is_remote();
    let given_up = |hold| {
        if elsewhere {
            driver.recorder.forget(hold);
        }
    };
    let mut due = driver.leases.due(driver.clock.now(), given_up);
    due.retain(|(hold, slot)| wanted(slot) && !driver.local.is_untold(*hold));
    for batch in due.chunks(RENEWED_TOGETHER_MAX) {
        let now = driver.clock.now();
        let renewed = driver
            .counters
            .renew_all(batch, settings.hold_ttl, settings.lease_ttl, now)
            .await;
        let (mut answered, mut away) = (false, None);
        for ((hold, _), renewed) in batch.iter().zip(renewed) {
            match renewed {
                Ok(true) => answered = true,
                Ok(false) => {
                    answered = true;
                    restore(driver, *hold).await;
                }
                Err(error) => {
                    driver.recorder.counter_error(&error);
                    tracing::warn!(%error, %hold, "a hold could not be renewed");
                    match error.is_of_the_store() {
                        true => away = Some(error),
                        false => answered = true,
                    }
                }
            }
        }
        match away {
            // The others would only wait in vain.
            Some(error) if !answered => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The store knows nothing of a hold that is open here. Either it has ended, or
/// the store lost it (a flush, a failover): then it is taken again.
async fn restore(driver: &Driver, hold: HoldId) {
    let Some(taken) = driver.leases.reservation(hold) else {
        driver.leases.release(hold);
        return;
    };
    let again = taken.unrefused();
    match driver.counters.reserve(&again, driver.clock.now()).await {
        Ok(Decision::Admitted(_)) => {
            tracing::warn!(%hold, "the counter store had lost a hold; it is back");
        }
        Ok(_) => driver.leases.release(hold),
        Err(error) => {
            driver.recorder.counter_error(&error);
            tracing::warn!(%error, %hold, "a hold could not be restored");
        }
    }
}
