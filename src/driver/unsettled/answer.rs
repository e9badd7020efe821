//! What follows from the store's answer to a settlement, beside the call's event.

use crate::counters::ENDED_KEPT;
use crate::driver::Driver;
use crate::exchange::Settlement;
use crate::limits::{Actual, Reservation, Settled};
use crate::units::UnixMillis;

/// The store answered; it may have been asked first at that time.
pub(super) fn heard(
    driver: &Driver,
    settlement: &Settlement,
    settled: Settled,
    asked_at: Option<UnixMillis>,
) {
    learn(driver, settlement, settled);
    keep(driver, settlement, settled);
    charge_again(driver, settlement, settled, asked_at);
}

/// What the store corrected, as far as that is known of here. What it was not told
/// when the call began, it is told when it knows the end.
fn learn(driver: &Driver, settlement: &Settlement, settled: Settled) {
    if !matches!(settled, Settled::Applied | Settled::Already) {
        return;
    }
    if let Some(call) = driver.leases.reservation(settlement.hold) {
        let now = driver.clock.now();
        driver.known.settled(&call, settlement.actual, now);
    }
}

/// For a store that loses it a moment later.
fn keep(driver: &Driver, settlement: &Settlement, settled: Settled) {
    if settled == Settled::Expired
        || settlement.actual == Actual::VOID
        || !driver.counters.is_remote()
    {
        return;
    }
    if let Some(call) = driver.leases.reservation(settlement.hold) {
        let event = settlement.event.as_ref();
        let ended_at = event.map_or_else(|| driver.clock.now(), |event| event.ended_at_ms);
        driver.losses.settled(call, settlement.actual, ended_at);
    }
}

/// A hold that the store lost took its charges with it: what was used is told
/// under another name, unless it may have been told long ago, and forgotten.
fn charge_again(
    driver: &Driver,
    settlement: &Settlement,
    settled: Settled,
    asked_at: Option<UnixMillis>,
) {
    let now = driver.clock.now();
    let forgotten = asked_at.is_some_and(|asked_at| now.since(asked_at) >= ENDED_KEPT);
    if settled != Settled::Unknown || settlement.actual == Actual::VOID || forgotten {
        return;
    }
    if let Some(taken) = driver.leases.reservation(settlement.hold) {
        let mut again = Reservation::clone(&taken);
        again.hold = taken.hold.restored();
        driver.local.owe_all(again, settlement.actual, now);
    }
}
