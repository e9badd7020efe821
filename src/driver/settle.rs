//! Ending a hold for good, behind the call that it belonged to.

use super::{Driver, unsettled};
use crate::exchange::Settlement;
use crate::ledger::faults::die;
use crate::limits::Settled;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::task::coop::unconstrained;

/// How long a stream's end may wait for its settlement, which goes on behind
/// it.
const STREAM_WAITS_MAX: Duration = Duration::from_millis(50);

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
        async move { unsettled::settle(&driver, settlement).await }
    }));
    if work.as_mut().now_or_never().is_some() {
        return None;
    }
    // A drain waits for it as for an open call.
    let open = driver.open.enter();
    Some(Underway(tokio::spawn(async move {
        work.await;
        drop(open);
    })))
}

/// The hold has ended: its event is recorded by whoever ended it. `settled` is what the
/// store said, where it was asked and has answered.
pub(super) fn conclude(
    driver: &Driver,
    settlement: Settlement,
    settled: Option<Settled>,
    ended_here: bool,
) {
    driver.leases.release(settlement.hold);
    // Of a hold that there wasn't nothing was given back: its refusal holds.
    if driver.counters.is_remote() && settled != Some(Settled::Unknown) {
        driver.denials.forget(&settlement.slot);
    }
    driver.learning.learn(&settlement);
    die("die::settled");
    match settlement.event.filter(|_| ended_here) {
        Some(event) => driver.recorder.record(event),
        // The call is told of by its own part.
        None if settlement.hold.is_shared() => {}
        None => driver.recorder.forget(settlement.hold),
    }
}
