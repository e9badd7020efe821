//! Taking a call's reservation: the tenant's own part first, then what tenants
//! share; each by the store, or by this sidecar alone where the store is away.

use super::books::Whereabouts;
use super::denials::Asked;
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
    let asked = driver.denials.asks(reservation);
    if let Some(refusal) = driver.denials.recall(reservation, driver.clock.now()) {
        return Ok(Decision::Refused(refusal, Vec::new()));
    }
    let remember = |refusal, by| remember(driver, reservation, refusal, asked, by);
    let (mut standings, own) = match decide(driver, reservation, true).await? {
        (Decision::Admitted(standings), by) => (standings, by),
        (Decision::Refused(refusal, standings), by) => {
            remember(refusal, by);
            return Ok(Decision::Refused(refusal, standings));
        }
        (Decision::Ended, _) => return Ok(Decision::Ended),
    };
    let Some(shared) = reservation.shared_part() else {
        return Ok(Decision::Admitted(standings));
    };
    // Who has waited for it in vain doesn't wait again.
    let lane = |part: &Reservation| driver.counters.lane(&part.slot);
    let ask = own != By::LocalInVain || lane(reservation) != lane(&shared);
    match decide(driver, &shared, ask).await? {
        (Decision::Admitted(more), _) => {
            standings.extend(more);
            Ok(Decision::Admitted(standings))
        }
        (Decision::Refused(refusal, more), by) => {
            // Nobody waits for it: the tenant's counters have room again when
            // the store has heard of it, before the caller's next call.
            drop(settle::start(driver, give_back(reservation)));
            let refusal = Refusal {
                charge: reservation.charges.len() + refusal.charge,
                ..refusal
            };
            remember(refusal, by);
            for (standing, charge) in standings.iter_mut().zip(&*reservation.charges) {
                *standing = standing.without(charge.amount);
            }
            standings.extend(more);
            Ok(Decision::Refused(refusal, standings))
        }
        (Decision::Ended, _) => Ok(Decision::Ended),
    }
}

/// Whose answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Store,
    /// This sidecar alone.
    Local,
    /// This sidecar alone, after the store was asked and did not answer.
    LocalInVain,
}

/// Only what a remote store refused is remembered: asking it costs.
fn remember(driver: &Driver, reservation: &Reservation, refusal: Refusal, asked: Asked, by: By) {
    if by == By::Store && driver.counters.is_remote() {
        let now = driver.clock.now();
        driver.denials.remember(reservation, refusal, asked, now);
    }
}

/// One part, by the store if that is to be asked, or where it is away as is
/// configured.
async fn decide(
    driver: &Arc<Driver>,
    part: &Reservation,
    ask: bool,
) -> Result<(Decision, By), CounterError> {
    let lane = driver.counters.lane(&part.slot);
    let is_open = driver.breaker.is_open(lane);
    let asked = ask && !is_open;
    let error = match asked {
        false => CounterError::Unavailable("it was away a moment ago".into()),
        true => match driver.counters.reserve(part, driver.clock.now()).await {
            Ok(decision) => {
                driver.answered(lane);
                return beside_the_share(driver, part, decision);
            }
            Err(error) => error,
        },
    };
    if asked {
        driver.recorder.counter_error(&error);
        driver.failed(&part.slot, &error);
    }
    let unfit = matches!(error, CounterError::Unfit(_));
    if unfit || !driver.counters.is_remote() || !driver.local.decides() {
        return Err(error);
    }
    let now = driver.clock.now();
    if !is_open && driver.local.is_new_to(part) {
        // One of the first to miss the store: not all leases are carried over.
        driver.carry_over(|taken| taken.slot == part.slot);
    }
    let whereabouts = match asked {
        true => Whereabouts::Maybe,
        false => Whereabouts::Here,
    };
    let local = &driver.local;
    let decision = local.decide(part, whereabouts, &driver.known, now)?;
    let admitted = matches!(decision, Decision::Admitted(_));
    driver.recorder.decided_alone(admitted);
    if asked && !admitted {
        // The store may have taken it all the same, and nobody else ends it.
        drop(settle::start(driver, give_back(part)));
    }
    let by = match asked && error.is_of_the_store() {
        true => By::LocalInVain,
        false => By::Local,
    };
    Ok((decision, by))
}

/// What the store admits while others may still give out their shares must fit
/// into this sidecar's too.
fn beside_the_share(
    driver: &Arc<Driver>,
    part: &Reservation,
    decision: Decision,
) -> Result<(Decision, By), CounterError> {
    let admitted = matches!(decision, Decision::Admitted(_));
    if admitted
        && driver
            .breaker
            .is_returning(driver.counters.lane(&part.slot))
    {
        let (local, now) = (&driver.local, driver.clock.now());
        let share = local.decide(part, Whereabouts::There, &driver.known, now)?;
        if let Decision::Refused(..) = share {
            drop(settle::start(driver, give_back(part)));
            return Ok((share, By::Local));
        }
    }
    learn(driver, part, &decision);
    Ok((decision, By::Store))
}

/// What the store said, for when it can't be asked.
pub(super) fn learn(driver: &Driver, part: &Reservation, decision: &Decision) {
    let (known, now) = (&driver.known, driver.clock.now());
    match decision {
        Decision::Admitted(standings) => {
            known.learn(&part.slot, &part.charges, standings.iter(), true, now);
        }
        Decision::Refused(refusal, _) => {
            if let Some(charge) = part.charges.get(refusal.charge) {
                known.refused(&part.slot, charge, refusal, now);
            }
        }
        Decision::Ended => {}
    }
}

/// Takes the hold into care, in both its parts.
pub(super) fn keep(driver: &Driver, reservation: &Reservation, until: Option<UnixMillis>) {
    let shared = reservation.shared_part();
    // Only a store that is elsewhere can lose what it was told.
    let remote = driver.counters.is_remote();
    let parts = [Some(reservation), shared.as_ref()];
    for part in parts.into_iter().flatten() {
        let lease = Lease {
            slot: Arc::clone(&part.slot),
            reservation: remote.then(|| Arc::new(part.clone())),
            until,
            over: false,
        };
        driver.leases.keep(part.hold, lease);
    }
}

fn give_back(own: &Reservation) -> Settlement {
    Settlement {
        slot: Arc::clone(&own.slot),
        hold: own.hold,
        shared: false,
        actual: Actual::VOID,
        event: None,
        lesson: None,
        ratio_lesson: None,
        health_lesson: None,
    }
}
