//! Taking a call's reservation: the tenant's own part first, then what tenants
//! share.

use super::leases::Lease;
use super::{Driver, settle};
use crate::counters::CounterError;
use crate::exchange::Settlement;
use crate::limits::{Actual, Decision, Refusal, Reservation};
use crate::units::UnixMillis;
use std::sync::Arc;

/// All or nothing over both parts. After an error either may have been taken.
pub(super) async fn reserve(
    driver: &Arc<Driver>,
    reservation: &Reservation,
) -> Result<Decision, CounterError> {
    if let Some(refusal) = driver.denials.recall(reservation, driver.clock.now()) {
        return Ok(Decision::Refused(refusal));
    }
    let decision = ask(driver, reservation).await?;
    if let Decision::Refused(refusal) = decision
        && driver.counters.is_remote()
    {
        let now = driver.clock.now();
        driver.denials.remember(reservation, refusal, now);
    }
    Ok(decision)
}

async fn ask(driver: &Arc<Driver>, reservation: &Reservation) -> Result<Decision, CounterError> {
    let now = driver.clock.now();
    let own = driver.counters.reserve(reservation, now).await?;
    let Decision::Admitted(mut standings) = own else {
        return Ok(own);
    };
    let Some(shared) = reservation.shared_part() else {
        return Ok(Decision::Admitted(standings));
    };
    match driver.counters.reserve(&shared, driver.clock.now()).await? {
        Decision::Admitted(more) => {
            standings.extend(more);
            Ok(Decision::Admitted(standings))
        }
        Decision::Refused(refusal) => {
            // Nobody waits for it: the tenant's counters have room again when
            // the store has heard of it, before the caller's next call.
            drop(settle::start(driver, give_back(reservation)));
            Ok(Decision::Refused(Refusal {
                charge: reservation.charges.len() + refusal.charge,
                ..refusal
            }))
        }
        Decision::Ended => Ok(Decision::Ended),
    }
}

/// Takes the hold into care, in both its parts.
pub(super) fn keep(driver: &Driver, reservation: &Reservation, until: Option<UnixMillis>) {
    let shared = reservation.shared_part();
    let parts = [Some(reservation), shared.as_ref()];
    for part in parts.into_iter().flatten() {
        let slot = Arc::clone(&part.slot);
        driver.leases.keep(part.hold, Lease { slot, until });
    }
}

fn give_back(own: &Reservation) -> Settlement {
    Settlement {
        slot: Arc::clone(&own.slot),
        hold: own.hold,
        shared: false,
        actual: Actual::VOID,
        event: None,
    }
}
