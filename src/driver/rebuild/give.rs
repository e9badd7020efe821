//! Giving counters what the ledger says, each once.

use super::{NEARLY_OVER, RebuildError, Rebuilt, RebuiltLimit};
use crate::counters::Epoch;
use crate::driver::Driver;
use crate::driver::carried::one_charge;
use crate::driver::losses::Due;
use crate::ledger::faults::die;
use crate::ledger::row::ChainId;
use crate::limits::{Actual, Decision, HoldId, Limit, Unit};
use crate::units::{Millis, UnixMillis};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Counters that are told together.
const TOGETHER_MAX: usize = 64;

/// How long what was taken may go without being settled, where who took it died in
/// between: what expires is remembered as long.
const HOLD_TTL: Millis = Millis::from_secs(10);

/// What one counter is given.
pub(super) struct Given {
    pub slot: Arc<str>,
    pub counter: String,
    pub limit: Arc<Limit>,
    pub amount: u64,
    /// When the window ends that it is of.
    pub until: UnixMillis,
}

/// One limit, and what its counters are given.
pub(super) struct Sums {
    pub limit: Arc<str>,
    pub plan: Option<Arc<str>>,
    pub unit: Unit,
    pub given: Vec<Given>,
}

/// Tells the store.
pub(super) async fn all(
    driver: &Driver,
    lanes: &[Due],
    name: ChainId,
    sums: Sums,
    rebuilt: &mut Rebuilt,
) -> Result<(), RebuildError> {
    let mut of = RebuiltLimit {
        limit: sums.limit,
        plan: sums.plan,
        unit: sums.unit,
        counters: 0,
        amount: 0,
    };
    let mut told = stream::iter(sums.given)
        .map(|given| async move {
            let lane = driver.counters.lane(&given.slot);
            let Some(due) = lanes.iter().find(|due| due.lane == lane) else {
                return Ok(Fate::Left);
            };
            if given.until.since(driver.clock.now()) < NEARLY_OVER {
                return Ok(Fate::Left);
            }
            one(driver, due.epoch, name, &given).await
        })
        .buffer_unordered(TOGETHER_MAX);
    while let Some(fate) = told.next().await {
        match fate? {
            Fate::Given(amount) => {
                of.counters += 1;
                of.amount = of.amount.saturating_add(amount);
            }
            Fate::Had => rebuilt.already += 1,
            Fate::Left => {}
        }
    }
    if of.counters > 0 {
        rebuilt.limits.push(of);
    }
    Ok(())
}

/// What became of a counter.
enum Fate {
    Given(u64),
    /// It was given this before.
    Had,
    Left,
}

/// Charges one counter, once.
async fn one(
    driver: &Driver,
    epoch: Epoch,
    name: ChainId,
    given: &Given,
) -> Result<Fate, RebuildError> {
    let hold = hold_name(epoch, name, &given.slot, &given.counter);
    let mut charge = one_charge(
        hold,
        &given.slot,
        &given.counter,
        &given.limit,
        given.amount,
    );
    (charge.hold_ttl, charge.lease_ttl) = (HOLD_TTL, HOLD_TTL);
    let now = driver.clock.now();
    match driver.counters.reserve(&charge, now).await {
        Ok(Decision::Admitted(_)) => {
            let actual = Actual::only(given.limit.unit, given.amount);
            let slot = &given.slot;
            die("die::rebuilt");
            driver.counters.settle_long(slot, hold, actual, now).await?;
            Ok(Fate::Given(given.amount))
        }
        Ok(Decision::Ended | Decision::Refused(..)) => Ok(Fate::Had),
        // A counter that can't be read is nobody else's concern.
        Err(error) if !error.is_of_the_store() => {
            driver.recorder.counter_error(&error);
            tracing::error!(%error, limit = %given.limit.name, "a counter can't be rebuilt");
            Ok(Fate::Left)
        }
        Err(error) => {
            driver.recorder.counter_error(&error);
            Err(error.into())
        }
    }
}

/// A name that no call has: a UUIDv8 ([`HoldId::is_shared`]), so that its expiry is
/// told to nobody.
fn hold_name(epoch: Epoch, ledger: ChainId, slot: &str, counter: &str) -> HoldId {
    let mut sha = Sha256::new();
    sha.update(epoch.id.0.as_bytes());
    sha.update(ledger.as_bytes());
    for part in [slot, counter] {
        sha.update(part.len().to_le_bytes());
        sha.update(part);
    }
    let hash: [u8; 32] = sha.finalize().into();
    let mut bytes = epoch.id.0.into_bytes();
    if let (Some(name), Some(hash)) = (bytes.get_mut(6..), hash.get(..10)) {
        name.copy_from_slice(hash);
    }
    // The variant of RFC 9562, section 4.1.
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    HoldId(uuid::Uuid::from_bytes(bytes)).shared()
}

#[cfg(test)]
mod tests;
